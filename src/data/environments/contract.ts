/**
 * What a small environment is: states, actions and rewards whose best policy is known, so that what is learnt in it, or
 * from rows that were written in it, can be held against the optimum.
 *
 * A state is a value: `step` changes none, and draws what is random from the source that it is given.
 */
import type { Random } from "../random.ts";

export interface Stepped<State> {
  readonly next: State;
  readonly reward: number;
  /** Whether the next state is an end, behind which no reward comes. */
  readonly done: boolean;
}

/** `optimal` values are expectations of the sum of discounted rewards. */
export interface Environment<State, Action> {
  /** How many values an observation has. */
  readonly observed: number;
  /** What a reward one step later counts. */
  readonly discount: number;
  /** A state to begin in. */
  reset(random: Random): State;
  step(state: State, action: Action, random: Random): Stepped<State>;
  observe(state: State): number[];
  /** An action of the best policy. */
  bestAction(state: State): Action;
  /** What the best policy gets from a state on. */
  bestValue(state: State): number;
  /** What it gets behind an action. */
  bestActionValue(state: State, action: Action): number;
}

/** How rows are drawn: what acts, and for how long. */
export interface Behaviour<State, Action> {
  act(state: State, random: Random): Action;
  /** Steps of an episode; one that reaches an end before begins anew. */
  readonly horizon: number;
}

/** A step of an episode. */
export interface Transition<State, Action> extends Stepped<State> {
  readonly state: State;
  readonly action: Action;
  /** Whether an episode begins with it. */
  readonly first: boolean;
}

/** The `step`-th transition of an episode, which `random` fixes: all before it are drawn first. */
export function transitionAt<State, Action>(
  environment: Environment<State, Action>,
  { act }: Behaviour<State, Action>,
  step: number,
  random: Random,
): Transition<State, Action> {
  let state = environment.reset(random);
  let first = true;
  for (let at = 0; ; at++) {
    const action = act(state, random);
    const stepped = environment.step(state, action, random);
    if (at === step) return { ...stepped, state, action, first };
    state = stepped.done ? environment.reset(random) : stepped.next;
    first = stepped.done;
  }
}

/** The mean discounted reward of so many episodes of a policy, each of no more than `steps` steps. */
export function meanReturn<State, Action>(
  environment: Environment<State, Action>,
  act: Behaviour<State, Action>["act"],
  { episodes, steps, random }: { readonly episodes: number; readonly steps: number; readonly random: Random },
): number {
  let sum = 0;
  for (let episode = 0; episode < episodes; episode++) {
    let state = environment.reset(random);
    for (let step = 0, weight = 1; step < steps; step++, weight *= environment.discount) {
      const { next, reward, done } = environment.step(state, act(state, random), random);
      sum += weight * reward;
      if (done) break;
      state = next;
    }
  }
  return sum / episodes;
}
