/**
 * What a metric is: a number over scored rows. A file of this folder that exports `metric` is one; `--metric ece` is ece.ts.
 *
 * A metric is a function of a list of rows, so that groups, differences between checkpoints and bootstrap intervals come with it.
 */
import type { Options } from "../method/options.ts";

/** A row that a model was run on. Arrays hold one entry per token that counts, or a single one for a classifier. */
export interface ScoredRow {
  /** Position of its group. */
  readonly group: number;
  readonly targets: Int32Array;
  /** -log probability of the target. */
  readonly nll: Float32Array;
  readonly argmax: Uint32Array;
  /** Probability of the most likely output. */
  readonly confidence: Float32Array;
  /** What greedy decoding gave, and what it should have given; where a metric asks for it. */
  readonly generated?: { readonly found: string; readonly expected: string };
  /** Which of several answers is likeliest, and which is right; where a metric asks for it. */
  readonly choice?: { readonly found: number; readonly foundPerToken: number; readonly expected: number };
  /** Whether the last token is the one that ends a text. */
  readonly ended?: boolean;
  /** Mean and variance of the log-probabilities of all outputs, two entries per token; where a metric asks for it. */
  readonly moments?: Float32Array;
  /** Bytes of the text that counts after deflate; where a metric asks for it. */
  readonly packedBytes?: number;
  /** Mean losses of a right answer in other words (one or several) and of wrong ones; where asked for, if the row has them. */
  readonly truth?: Losses;
  /** Mean losses of the right one of several options and of the wrong ones; where asked for, if the row has them. */
  readonly options?: Losses;
  /** Mean losses of paraphrases of the answer; where asked for, if the row has them. */
  readonly paraphrases?: readonly number[];
  /** Mean over the weights' tensors of the norm of the gradient of the row's mean loss; where a metric asks for it. */
  readonly gradientNorm?: number;
}

/** Mean losses per token of whole answers. */
export interface Losses {
  readonly right: readonly number[];
  readonly wrong: readonly number[];
}

/**
 * What rows must hold besides scores. `generated` is cut where exact matches are decided, `continued` only by `--max-tokens`;
 * `truth`, `options` and `paraphrases` are further answers, which rows name.
 */
export type Need =
  | "generated"
  | "continued"
  | "choice"
  | "moments"
  | "gradient"
  | "packed-bytes"
  | "truth"
  | "options"
  | "paraphrases";

/** What a metric may know besides the rows. */
export interface MetricContext {
  /** Names of the groups of data, by position. */
  readonly groups: readonly string[];
  /** Name of the group to forget, and of the one that was never learned. */
  readonly forget: string;
  readonly holdout: string;
  /** Share of tokens that the min-k attacks look at. */
  readonly minK: number;
  /** The rows as a model scores them that never saw what is to be forgotten. */
  readonly gold?: readonly ScoredRow[];
}

export interface Metric<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
  /** Which models it is for; both when left out. */
  readonly task?: "causal-lm" | "classifier";
  /** What rows must hold besides scores. */
  readonly needs?: Need | readonly Need[];
  /** Compares groups: it is measured once, over all rows, and resamples keep the size of every group. */
  readonly across?: boolean;
  /** Compares with the gold model itself, so a relative difference to gold says nothing. */
  readonly usesGold?: boolean;
  /** False where resampling says nothing about the value. */
  readonly interval?: false;
  /** Whether less is better. */
  readonly lower: boolean;
  /** Whether a model that knows the rows better has more or less of it; left out where that is not so throughout. */
  readonly knowledge?: "more" | "less";
  /** NaN where no row can be measured. */
  value(rows: readonly ScoredRow[], context: MetricContext): number;
  /** Further numbers, by name, such as one per class. */
  details?(rows: readonly ScoredRow[], context: MetricContext): Record<string, number>;
  /** Throws UserError before any model runs if the groups or the gold model do not serve. */
  check?(context: Omit<MetricContext, "gold"> & { readonly gold: boolean }): void;
}

export const defineMetric = <const O extends Options>(metric: Metric<O>): Metric<O> => metric;

/** Needs that a row without a loss of its own may still hold. */
const BESIDES = new Set<Need>(["generated", "continued", "choice", "truth", "options", "paraphrases"]);

/**
 * The rows that a metric is measured on, of several models: a row that no token of counts, because it was cut to its prompt, has no loss
 * to be averaged or drawn. Lists of one length hold the same rows, and lose the same; others each their own.
 */
export function countedRows<const L extends readonly (readonly ScoredRow[] | undefined)[]>(
  metric: Metric,
  ...lists: L
): { -readonly [K in keyof L]: ScoredRow[] | Extract<L[K], undefined> } {
  const needs = [metric.needs ?? []].flat();
  const counts = (row: ScoredRow) => tokens(row) > 0 || needs.some((need) => BESIDES.has(need));
  const counted = lists.map((list) => {
    const alike = lists.flatMap((other) => (other !== undefined && other.length === list?.length ? [other] : []));
    return list?.filter((_, i) => alike.every((other) => counts(other[i]!)));
  });
  return counted as ReturnType<typeof countedRows<L>>;
}

/** Sum of f over rows divided by the sum of g. */
export function ratio(
  rows: readonly ScoredRow[],
  f: (row: ScoredRow) => number,
  g: (row: ScoredRow) => number,
): number {
  let [above, below] = [0, 0];
  for (const row of rows) {
    above += f(row);
    below += g(row);
  }
  return above / below;
}

export const tokens = ({ nll }: ScoredRow): number => nll.length;
export const summed = ({ nll }: ScoredRow): number => nll.reduce((a, b) => a + b, 0);
/** Tokens whose most likely output is the target. */
export const right = ({ targets, argmax }: ScoredRow): number =>
  targets.reduce((n, target, i) => n + (argmax[i] === target ? 1 : 0), 0);
/** Mean loss per token. */
export const meanLoss = (row: ScoredRow): number => summed(row) / tokens(row);
/** Tokens without the one that ends the text. */
export const bodyTokens = ({ nll, ended }: ScoredRow): number => nll.length - (ended ? 1 : 0);
/** Mean of numbers; NaN of none. */
export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

declare module "../method/registry.ts" {
  interface Contracts {
    metric: Metric;
  }
}
