/**
 * What a metric is: a number over scored rows. A file of this folder that exports `metric` is one; `--metric ece` is ece.ts.
 *
 * A metric is a function of a list of rows, so that groups, differences between checkpoints and bootstrap intervals come with it.
 */
import type { Options } from "../cli/options.ts";

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
  readonly needs?: "generated" | "choice";
  /** Whether less is better. */
  readonly lower: boolean;
  /** NaN where no row can be measured. */
  value(rows: readonly ScoredRow[]): number;
  /** Further numbers, by name, such as one per class. */
  details?(rows: readonly ScoredRow[]): Record<string, number>;
}

export const defineMetric = <const O extends Options>(metric: Metric<O>): Metric<O> => metric;

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
