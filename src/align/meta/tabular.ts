/**
 * A learner with tables: a softmax policy over the states of a small world, and what it needs to learn from its own
 * steps. Everything that is random is chosen by the key of its lifetime.
 */
import { bandit } from "../../data/worlds/bandit.ts";
import { gridworld } from "../../data/worlds/gridworld.ts";
import type { State, World } from "../../data/worlds/world.ts";
import { logSoftmax } from "../../run/small-nets/categorical.ts";
import type { Actor } from "../control/contract.ts";
import { returnsOf } from "../control/evaluating.ts";
import { Walk } from "../control/walk.ts";

export interface Lab {
  readonly world: "bandit" | "gridworld";
  readonly arms: number;
  /** Deviation of rewards of bandits. */
  readonly noise: number;
  /** Of gridworlds. */
  readonly side: number;
  readonly lr: number;
  readonly entropy: number;
}

/** Walkers of a learner, and steps of each between two updates. */
const [WALKERS, STEPS] = [4, 10];
/** Episodes that a policy is measured on at the end. */
const EPISODES = 32;
/** Rate of the table of values, and lambda of its advantages. */
const [VALUE_RATE, LAMBDA] = [0.2, 0.95];

/** The world of a lifetime. Of a bandit all rewards have noise. */
export function worldOf({ world, arms, noise, side }: Lab, key: number): World {
  if (world === "gridworld")
    return gridworld.open(key, { side, walls: 0.2, slip: 0.1, discount: 0.95, horizon: 4 * side });
  const plain = bandit.open(key, { contexts: 1, arms, risk: 0 });
  return {
    ...plain,
    step(state, action, chance) {
      const stepped = plain.step(state, action, chance);
      return { ...stepped, reward: stepped.reward + noise * chance.normal() };
    },
  };
}

/** Steps of one walker, one after another; `logs` are ln pi(a | s) when they were taken. */
export interface Trail {
  readonly states: readonly number[];
  readonly nexts: readonly number[];
  readonly actions: readonly number[];
  readonly rewards: readonly number[];
  /** 1 where an episode ended. */
  readonly ends: readonly number[];
  readonly logs: readonly number[];
}

export class Tabular {
  readonly world: World;
  readonly actions: number;
  /** (states, actions); `raise` changes them. */
  readonly logits: Float64Array;
  readonly values: Float64Array;
  readonly #key: number;
  /** ln pi of the states that were asked for since the logits changed, and pi of those that were acted in. */
  #known: (Float64Array | undefined)[] = [];
  #likely: (number[] | undefined)[] = [];
  readonly #places = new Map<number, number>();
  readonly #walks: readonly Walk[];

  constructor(lab: Lab, key: number) {
    this.world = worldOf(lab, key);
    this.actions = this.world.actions.count!;
    this.logits = new Float64Array(this.world.width * this.actions);
    this.values = new Float64Array(this.world.width);
    this.#key = key;
    this.#walks = Array.from({ length: WALKERS }, (_, i) => new Walk(this.world, WALKERS * key + i));
  }

  #place(state: State): number {
    const key = state.reduce((sum, x) => 1024 * sum + x, 0);
    let place = this.#places.get(key);
    if (place === undefined) {
      place = this.world.observe(state).indexOf(1);
      this.#places.set(key, place);
    }
    return place;
  }

  /** ln pi(. | s) */
  logs(state: number): Float64Array {
    this.#known[state] ??= logSoftmax(this.logits.subarray(state * this.actions, (state + 1) * this.actions));
    return this.#known[state];
  }

  /** Moves the logits by so many times what is given. */
  raise(by: Float64Array, factor: number): void {
    for (const [i, g] of by.entries()) this.logits[i]! += factor * g;
    this.#known = [];
    this.#likely = [];
  }

  #actor(): Actor {
    return (state, random) => {
      const place = this.#place(state);
      this.#likely[place] ??= [...this.logs(place).map(Math.exp)];
      return random!.weighted(this.#likely[place]);
    };
  }

  /** Steps by the policy as it is. */
  walk(): Trail[] {
    const actor = this.#actor();
    return this.#walks.map((walk) => {
      const taken = Array.from({ length: STEPS }, () => walk.step(actor));
      const states = taken.map(({ step }) => this.#place(step.state));
      const actions = taken.map(({ step }) => step.action as number);
      return {
        ...{ states, actions, nexts: taken.map(({ step }) => this.#place(step.next)) },
        rewards: taken.map(({ step }) => step.reward),
        ends: taken.map(({ step, ended }) => Number(step.done || ended !== undefined)),
        logs: states.map((state, i) => this.logs(state)[actions[i]!]!),
      };
    });
  }

  /** Generalised advantages by the table of values, which then moves to what was seen. */
  advantages({ states, nexts, rewards, ends }: Trail): number[] {
    const gains = new Array<number>(states.length).fill(0);
    let ahead = 0;
    for (let i = states.length - 1; i >= 0; i--) {
      const open = 1 - ends[i]!;
      const surprise = rewards[i]! + this.world.discount * open * this.values[nexts[i]!]! - this.values[states[i]!]!;
      ahead = surprise + this.world.discount * LAMBDA * open * ahead;
      gains[i] = ahead;
    }
    for (const [i, state] of states.entries())
      this.values[state]! += ((VALUE_RATE * gains[i]!) / states.length) * WALKERS;
    return gains;
  }

  /** What its policy is worth, as a share of the best there is. */
  worth(): number {
    return returnsOf(this.world, this.#actor(), EPISODES, this.#key).mean / this.world.optimum;
  }
}

/** Adds `factor` times the gradient of ln pi(a | s) by the logits. */
export function addLog(
  learner: Tabular,
  into: Float64Array,
  [state, action]: readonly [number, number],
  factor: number,
) {
  const at = state * learner.actions;
  for (const [i, log] of learner.logs(state).entries())
    into[at + i]! += factor * (Number(i === action) - Math.exp(log));
}

/** Adds `factor` times the gradient of the entropy in a state. */
export function addEntropy(learner: Tabular, into: Float64Array, state: number, factor: number): void {
  const at = state * learner.actions;
  const logs = learner.logs(state);
  const negative = logs.reduce((sum, log) => sum + Math.exp(log) * log, 0);
  for (const [i, log] of logs.entries()) into[at + i]! -= factor * Math.exp(log) * (log - negative);
}
