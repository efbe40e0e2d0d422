/**
 * What a search is: it asks for points of a space, and is told their scores. `--search cma-es` is searches/cma-es.ts.
 *
 * A searcher is a function of its setup and of what it was told: made again, and told the same scores of the same
 * batches, it asks for the same points. A search that was killed resumes by this: the frame replays `ask` and `tell`
 * with the scores that the trial file holds. So whatever is random comes from `new Random(seed, "NAME", trial)`, keyed
 * by the position of a trial, or of a batch, in the search, and nothing depends on time.
 *
 * Scores are to be **maximised**, all of them; the frame turns the sign of what is better when it is lower. A trial
 * whose merge or measure is not finite has the score -Infinity in every objective.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { GeneValues, Space } from "./space.ts";

/** What is to be tried: a recipe's numbers and choices. */
export interface Point {
  /** One value per gene of the space, in its order. */
  readonly values: GeneValues;
  /**
   * Parameters of the merge method beside the genes, which only this search makes: a list of mutations with their
   * seeds. They stand in the recipe as they are.
   */
  readonly extra?: Readonly<Record<string, number | string>>;
}

/** A point that was tried. */
export interface Scored {
  readonly point: Point;
  /** One per objective, higher is better; -Infinity where the merge failed. */
  readonly scores: readonly number[];
}

/** What a searcher may know before the first trial. */
export interface SearchSetup<O extends Options = Options> {
  readonly space: Space;
  /** Trials that will be made in all, at least 1. */
  readonly budget: number;
  readonly seed: number;
  /** What is maximised, at least one. */
  readonly objectives: readonly string[];
  /** Models that the recipe merges, the base not counted. */
  readonly models: number;
  readonly values: Values<O>;
  /** Hears a line about work that takes seconds before a trial. */
  readonly note?: (line: string) => void;
  /** For searches that need it. */
  readonly gpu?: Gpu;
  /**
   * Of searches that need "token-losses": for every model, nats of each token of the data that counts, in one order.
   */
  readonly tokenLosses?: readonly Float64Array[];
}

/** A search at work. */
export interface Searcher {
  /**
   * The next batch: a generation, or one point. At least one point; none when nothing is left to try. Every batch but
   * the last is told before the next is asked for. The frame may try only the first points of the last batch.
   */
  ask(): readonly Point[] | Promise<readonly Point[]>;
  /** The batch that was asked for last, in its order, with all scores. */
  tell(batch: readonly Scored[]): void | Promise<void>;
  /**
   * A point to try after the last trial, such as the mean of a distribution or an aggregate of an archive; it is scored
   * beside the trials. The best trial stands alone when left out.
   */
  last?(): Point | undefined;
  /**
   * Points that were tried and are kept beside the front, as "place/of/it": the cells of an archive. Their recipes
   * stand in the folder of the front, under `archive`.
   */
  archive?(): readonly { readonly name: string; readonly point: Point }[];
  /** What is worth a line in the log: coverage, step size. */
  notes?(): Record<string, unknown>;
  /** Frees what it holds on the GPU. */
  free?(): void;
}

export interface SearchMethod<O extends Options = Options> extends MethodInfo<O> {
  /**
   * "one": scores are summed by their weights to one. "many": every objective is its own. "any": one, or with --pareto
   * many.
   */
  readonly objectives: "one" | "many" | "any";
  /**
   * Whether points are asked for without hearing any score, so that the trials of an array job can be made apart.
   */
  readonly independent?: true;
  /** The GPU, for a model of its own; losses of the models on the data. */
  readonly needs?: readonly ("gpu" | "token-losses")[];
  /** The merge method that its `extra` parameters belong to; any when left out. */
  readonly merge?: string;
  /** Throws UserError when options, space and budget do not fit together. */
  make(setup: SearchSetup<O>): Searcher | Promise<Searcher>;
}

/** Declares a search and infers the types of its options. */
export const defineSearch = <const O extends Options>(method: SearchMethod<O>): SearchMethod<O> => method;

declare module "../../method/registry.ts" {
  interface Contracts {
    search: SearchMethod;
  }
}
