/**
 * Outcomes of texts without the part that known confounders explain. Outcome, confounders and the words of a text are
 * fitted together, so that what words do is not put down to confounders that go with them; then the confounders' part
 * is taken off, as fitted on rows of other folds. Chernozhukov et al. 2018 (cross-fitting),
 * https://arxiv.org/abs/1608.00060
 */
import { foldsOf } from "./folds.ts";
import { inner, ridge } from "./ridge.ts";

/** A text with what became of it. */
export interface Observed {
  readonly text: string;
  readonly outcome: number;
  /** By name: numbers, or names of kinds. */
  readonly confounders: Readonly<Record<string, number | string | boolean>>;
}

export interface DeconfoundOptions {
  readonly folds: number;
  readonly penalty: number;
  /** Words that are told apart: the most frequent ones. */
  readonly words: number;
  readonly seed: number;
}

const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu));

/** The words of most texts, in at least two of them; ties in order of letters. */
function vocabularyOf(texts: readonly ReadonlySet<string>[], most: number): string[] {
  const counts = new Map<string, number>();
  for (const words of texts) for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > 1 && count < texts.length)
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .slice(0, most)
    .map(([word]) => word);
}

/** Columns of confounders: a number as its distance from the mean in standard deviations, a name as one of several. */
function columnsOf(rows: readonly Observed[]): (row: Observed) => number[] {
  const names = Object.keys(rows[0]?.confounders ?? {});
  const makers = names.map((name) => {
    const values = rows.map(({ confounders }) => confounders[name]!);
    if (values.every((value) => typeof value === "number")) {
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
      const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) || 1;
      return (value: Observed["confounders"][string]) => [((value as number) - mean) / deviation];
    }
    const kinds = [...new Set(values.map(String))].sort();
    return (value: Observed["confounders"][string]) => kinds.map((kind) => Number(kind === String(value)));
  });
  return ({ confounders }) => names.flatMap((name, i) => makers[i]!(confounders[name]!));
}

export interface Deconfounded {
  /** (rows): outcomes without the confounders' part, whose mean stays. */
  readonly outcomes: Float64Array;
  /** Share of the outcomes' variance that the confounders' part has. */
  readonly explained: number;
}

/** Takes the confounders' part off the outcomes. Throws RangeError for fewer rows than folds. */
export function deconfounded(
  rows: readonly Observed[],
  { folds, penalty, words: most, seed }: DeconfoundOptions,
): Deconfounded {
  if (rows.length < Math.max(2, folds)) throw new RangeError(`${rows.length} rows in ${folds} folds`);
  const texts = rows.map(({ text }) => wordsOf(text));
  const vocabulary = vocabularyOf(texts, most);
  const confounding = columnsOf(rows);
  const columns = rows.map(confounding);
  const design = rows.map((_, i) =>
    Float64Array.of(1, ...columns[i]!, ...vocabulary.map((word) => Number(texts[i]!.has(word)))),
  );
  const fold = foldsOf(rows.length, folds, seed);
  const part = new Float64Array(rows.length);
  for (let own = 0; own < folds; own++) {
    const others = [...rows.keys()].filter((i) => folds === 1 || fold[i] !== own);
    const weights = ridge(
      others.map((i) => design[i]!),
      others.map((i) => rows[i]!.outcome),
      penalty,
    );
    const ofConfounders = weights.subarray(1, 1 + (columns[0]?.length ?? 0));
    for (const i of rows.keys()) if (folds === 1 || fold[i] === own) part[i] = inner(columns[i]!, ofConfounders);
  }
  const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
  const variance = (values: ArrayLike<number>) => {
    const middle = mean(values);
    return mean(Array.from(values, (x) => (x - middle) ** 2));
  };
  const [middle, outcomes] = [mean(part), rows.map(({ outcome }) => outcome)];
  const whole = variance(outcomes);
  return {
    outcomes: Float64Array.from(outcomes, (outcome, i) => outcome - part[i]! + middle),
    explained: whole === 0 ? 0 : variance(part) / whole,
  };
}
