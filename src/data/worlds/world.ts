/**
 * Small worlds that a policy acts in, whose best policy is known: states, actions, rewards, and an end. A world is a
 * function of its seed and options; what is random in an episode comes from the `Random` that it is given.
 *
 * Returns are discounted sums of the rewards of at most `horizon` steps.
 */
import type { Options, Values } from "../../method/options.ts";
import type { Random } from "../random.ts";

/** A number of [0, count), or a vector of values within +-bound. */
export type Action = number | readonly number[];

/** What a policy may do: one of `count` actions, or a vector. */
export type Actions =
  | { readonly count: number; readonly dims?: undefined }
  | { readonly count?: undefined; readonly dims: number; readonly bound: number };

export type State = readonly number[];

export interface Stepped {
  readonly reward: number;
  readonly next: State;
  /** Whether nothing follows: `next` is worth 0. */
  readonly done: boolean;
}

export interface World {
  readonly name: string;
  readonly actions: Actions;
  /** Values of an observation. */
  readonly width: number;
  readonly discount: number;
  readonly horizon: number;
  /** The mean over starts of the largest return that any policy can expect. */
  readonly optimum: number;
  /** What networks read of a state, (width). */
  observe(state: State): readonly number[];
  start(random: Random): State;
  /** One step. Parts of a vector beyond the bound count as the bound. */
  step(state: State, action: Action, random: Random): Stepped;
  /** The largest return that can be expected from a state, with the whole horizon ahead; no policy has more. */
  value(state: State): number;
  /** What the best policy does first. */
  best(state: State): Action;
  /** Which half of the states it is in: data of an uneven quality has experts in the second. */
  half(state: State): 0 | 1;
  /** Whether a list of numbers is a state. */
  holds(state: State): boolean;
  /** For `--json`: what is known of it. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A world before its seed and options are known. */
export interface WorldKind<O extends Options = Options> {
  readonly name: string;
  readonly options: O;
  open(seed: number, values: Values<O>): World;
}

export const worldKind = <const O extends Options>(kind: WorldKind<O>): WorldKind<O> => kind;

/** Options that all worlds with more than one step have. */
export const HORIZON = {
  discount: { type: "0 < number <= 1", default: 0.95, help: "worth of a reward one step later" },
  horizon: { type: "1 <= number.integer <= 1000", default: 40, help: "steps after which an episode is cut" },
} as const satisfies Options;
