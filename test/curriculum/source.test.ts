/** Batches of a mixture: a fixed part of a group is drawn again and again, the others go on. */
import { expect, test } from "bun:test";
import { MixtureSource, rowsOf } from "../../src/curriculum/source.ts";

const rows = rowsOf(
  ["a", "b"],
  Array.from({ length: 24 }, (_, i) => ({
    ...{ ids: Int32Array.of(i, i), labels: Int32Array.of(i, i), group: i < 12 ? 0 : 1, place: `${i}` },
  })),
  0,
);

/** The rows of some batches. */
function drawn(source: MixtureSource, batches: number): number[] {
  return Array.from({ length: batches }, () => source.next().batch.batch).flatMap((batch) =>
    "ids" in batch
      ? Array.from({ length: batch.rows }, (_, row) => batch.ids[(row * batch.ids.length) / batch.rows]!)
      : [],
  );
}

test("a limit draws from the same rows of a group in turn, whatever was drawn before", () => {
  const limited = (before: number) => {
    const source = new MixtureSource(rows, { batchSize: 4, seed: 5, shuffle: true });
    drawn(source, before);
    source.limits = [3, undefined];
    return drawn(source, 30);
  };
  const found = limited(0);
  const of = (list: number[], low: number) => list.filter((row) => row >= low && row < low + 12);
  const part = new Set(of(found, 0));
  expect(part.size).toBe(3);
  expect(new Set(of(limited(7), 0))).toEqual(part);
  expect(new Set(of(found, 12)).size).toBe(12);
  // Each of them as often as the others, to within one.
  const counts = [...part].map((row) => found.filter((other) => other === row).length);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
});
