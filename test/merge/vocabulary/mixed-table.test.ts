/** Tables whose rows are put together while they are read. */
import { expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { mixedTable, type NewRow } from "../../../src/merge/vocabulary/mixed-table.ts";
import { normals } from "../../support/random.ts";
import { entry } from "../plan/fixtures.ts";

const stored = Uint8Array.from(encodeFloats(normals(5, 40 * 6), "BF16"));
const own = entry("t", "BF16", [40, 6], stored);
const values = decodeFloats(stored, "BF16");

test("rows as they are keep their bits, sums are f64, and any range of bytes is the same", async () => {
  const rows: (number | NewRow)[] = [
    3,
    4,
    5,
    { rows: [1, 39, 1], weights: [0.25, -2, 0.5] },
    Float64Array.of(1, 2, 3, 4, 5, 6),
    0,
    39,
  ];
  const table = mixedTable(own, { count: rows.length, source: (row) => rows[row]! });
  expect([table.shape, table.bytes]).toEqual([[7, 6], 84]);
  const all = new Uint8Array(84);
  await table.read(all, 0);
  expect(all.subarray(0, 36)).toEqual(stored.subarray(36, 72));
  expect(all.subarray(72)).toEqual(stored.subarray(39 * 12));
  const sum = Float32Array.from({ length: 6 }, (_, i) => 0.75 * values[6 + i]! - 2 * values[39 * 6 + i]!);
  expect(all.subarray(36, 48)).toEqual(Uint8Array.from(encodeFloats(sum, "BF16")));
  for (const [from, to] of [
    [0, 1],
    [11, 40],
    [35, 37],
    [47, 84],
  ]) {
    const part = new Uint8Array(to! - from!);
    await table.read(part, from!);
    expect(part).toEqual(all.subarray(from, to));
  }
});

test("a change is made to computed rows alone", async () => {
  const table = mixedTable(own, {
    count: 2,
    source: (row) => (row === 0 ? 7 : { rows: [7], weights: [1] }),
    finish: (_, row) => row.fill(1),
  });
  const all = new Uint8Array(24);
  await table.read(all, 0);
  expect(all.subarray(0, 12)).toEqual(stored.subarray(84, 96));
  expect([...decodeFloats(all.subarray(12), "BF16")]).toEqual([1, 1, 1, 1, 1, 1]);
});
