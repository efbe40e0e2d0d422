/** Which rows of a recorded tensor are tokens or examples, and a few of them, evenly spread. */
import { type Batch, isTokens } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";

/** Places of the rows of a tensor of `count` rows that are no padding. */
export function realRows(batch: Batch, count: number): number[] {
  const marks = isTokens(batch) ? batch.segments : "tokens" in batch ? batch.tokens.segments : undefined;
  const all = Array.from({ length: count }, (_, row) => row);
  return marks?.length === count ? all.filter((row) => marks[row]! > 0) : all;
}

/** At most `most` of the places, the first of them among these, in order. */
export const spreadOver = (places: readonly number[], most: number): number[] =>
  places.length <= most
    ? [...places]
    : Array.from({ length: most }, (_, i) => places[Math.floor((i * places.length) / most)]!);

/**
 * What is foreseen in each row of a batch, and where: of tokens the last position that counts of every row, of a
 * classifier every example.
 */
export function lastAnswers(batch: Batch): { readonly place: number; readonly label: number }[] {
  const targets = targetsOf(batch);
  return Array.from({ length: batch.rows }, (_, row) => {
    const own = targets.subarray(row * batch.length, (row + 1) * batch.length);
    const at = own.findLastIndex((label) => label >= 0);
    return at < 0 ? undefined : { place: row * batch.length + at, label: own[at]! };
  }).filter((one) => one !== undefined);
}
