/**
 * Edits between two texts in units that a script goes by: words where spaces stand between them, single characters in
 * scripts that write without spaces. A text may change from one to the other.
 */

/** A character of a script without spaces, or a word of others, marks and apostrophes inside it. */
const UNIT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}])[\p{L}\p{N}][\p{M}'’]*)+/gu;

/** Words and characters, in lower case, without punctuation. */
export const unitsOf = (text: string): string[] => text.toLowerCase().match(UNIT) ?? [];

/** Fewest insertions, deletions and replacements that make one list of the other. */
export function editsBetween(a: readonly string[], b: readonly string[]): number {
  let row = Uint32Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, unit] of a.entries()) {
    const next = new Uint32Array(b.length + 1);
    next[0] = i + 1;
    for (const [j, other] of b.entries())
      next[j + 1] = Math.min(row[j]! + (unit === other ? 0 : 1), row[j + 1]! + 1, next[j]! + 1);
    row = next;
  }
  return row[b.length]!;
}

/** Edits over the units of what is expected; NaN where it has none. */
export function mixedErrorRate(expected: string, found: string): number {
  const units = unitsOf(expected);
  return units.length === 0 ? Number.NaN : editsBetween(units, unitsOf(found)) / units.length;
}
