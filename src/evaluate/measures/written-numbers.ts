/** Numbers in the answers that a model writes, beside the right ones. */
import { readNumber } from "../../data/numeric/numerals.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

/** A right number, and the one that was written in its place; undefined where that is none. */
export interface WrittenNumber {
  readonly expected: number;
  readonly found: number | undefined;
}

/** A number in tokens of digits, or as it is usually written; undefined for other texts. */
export function numberIn(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return Number(trimmed);
  return readNumber(trimmed);
}

/** Of all rows whose right answer is a number. */
export function writtenNumbers(rows: readonly ScoredRow[]): WrittenNumber[] {
  return rows.flatMap(({ generated }) => {
    const expected = generated && numberIn(generated.expected);
    return expected === undefined ? [] : [{ expected, found: numberIn(generated!.found) }];
  });
}
