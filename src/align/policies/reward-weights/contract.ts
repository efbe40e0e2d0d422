/** What changes how rewards count during a run: it makes the advantages of a rollout, and hears what came of it. */
import type { Stateful } from "../../../method/stateful.ts";
import type { Advantages, Rewarded } from "../contract.ts";

/** Advantages as the method makes them. */
export type Plain = (given: Rewarded<never>) => Advantages;

/** Inner products of the gradients of the loss of a rollout, one for each of several advantages. */
export type Products = (all: readonly Advantages[]) => Promise<readonly (readonly number[])[]>;

/** Advantages of a rollout as they count. */
export interface Weighed {
  readonly advantages: Advantages;
  /** Of each reward with a value head of its own, row by row and token by token: what followed. */
  readonly returns?: readonly Float64Array[] | undefined;
  /** Whether they are not to be whitened any more. */
  readonly isWhite?: boolean;
}

export interface RewardWeights extends Stateful {
  /** Looks at a rollout before its advantages are made. */
  weigh?(given: Rewarded<never>, plain: Plain, products: Products): Promise<void>;
  weighed(given: Rewarded<never>, plain: Plain): Weighed;
  /** Hears the mean of every term in a rollout, once its advantages are made, or those of held-out prompts. */
  heard?(means: readonly number[]): void;
  /** What the next rollout is weighed by, for the log. */
  told(): Readonly<Record<string, number>>;
  /** The same in a few words, for the line of progress. */
  said?(): string;
}
