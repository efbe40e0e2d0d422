/** Which weights of a layer go, against a sort on the host. */
import { expect, test } from "bun:test";
import { countOf, dropLowest, dropMarked, markLowest, markPattern } from "../../src/tensor/weight-selection.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { layerOf } from "../support/layer.ts";
import { normals } from "../support/random.ts";

covers(
  "weight-selection/lowest-cuts",
  "weight-selection/mark-lowest",
  "weight-selection/mark-pattern",
  "weight-selection/drop-marked",
);

const gpu = await sharedGpu();

/** Weights of few values, so that many scores are equal, and factors of which some are 0. */
const weights = (count: number): Float32Array => normals(count, count).map((x) => Math.round(3 * x) / 3);
const factorsOf = (columns: number): Float32Array =>
  Float32Array.from({ length: columns }, (_, j) => (j % 5 === 3 ? 0 : 1 + (j % 4)));

/** Places of the `count` lowest of some scores, of equal ones the first. */
function lowest(scores: readonly number[], count: number): Set<number> {
  const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
  return new Set(order.slice(0, count));
}

const SHAPES = [
  [1, 1],
  [3, 7],
  [17, 48],
  [40, 261],
] as const;

test.each(SHAPES)("the lowest of (%d, %d) go: of the matrix, of rows, of stretches", async (rows, columns) => {
  const w = weights(rows * columns);
  const factors = factorsOf(columns);
  const scores = [...w].map((x, i) => Math.fround(Math.abs(x) * factors[i % columns]!));
  using held = layerOf(gpu, w, rows);
  using by = gpu.upload(factors, "factors");
  for (const share of [0, 0.3, 0.5, 1]) {
    using marks = gpu.upload(new Uint32Array(rows * columns).fill(7), "marks");
    const read = () => gpu.readWords(marks.buffer, rows * columns);
    await markLowest(held.layer, by.buffer, { of: "matrix", share }, marks.buffer);
    const all = lowest(scores, countOf(share, rows * columns));
    expect([...(await read())]).toEqual(scores.map((_, i) => Number(all.has(i))));

    await markLowest(held.layer, by.buffer, { of: "row", share }, marks.buffer);
    const each = Array.from({ length: rows }, (_, r) => {
      const chosen = lowest(scores.slice(r * columns, (r + 1) * columns), countOf(share, columns));
      return Array.from({ length: columns }, (_, c) => Number(chosen.has(c)));
    });
    expect([...(await read())]).toEqual(each.flat());

    const [from, to] = [Math.floor(columns / 3), Math.ceil((2 * columns) / 3)];
    gpu.write(marks.buffer, 0, new Uint8Array(new Uint32Array(rows * columns).fill(7).buffer));
    await markLowest(held.layer, by.buffer, { of: "matrix", share, from, to }, marks.buffer);
    const inside = [...scores.keys()].filter((i) => i % columns >= from && i % columns < to);
    const part = lowest(
      inside.map((i) => scores[i]!),
      countOf(share, inside.length),
    );
    const wanted = scores.map((_, i) => (inside.includes(i) ? Number(part.has(inside.indexOf(i))) : 7));
    expect([...(await read())]).toEqual(wanted);
  }
});

test.each([
  [2, 4],
  [1, 4],
  [5, 8],
  [3, 12],
] as const)("%d of every %d inputs are left", async (keep, of) => {
  const [rows, columns] = [19, 48];
  const w = weights(rows * columns);
  const factors = factorsOf(columns);
  using held = layerOf(gpu, w, rows);
  using by = gpu.upload(factors, "factors");
  using marks = gpu.buffer(4 * rows * columns, "marks");
  await markPattern(held.layer, by.buffer, { keep, of }, marks.buffer);
  const wanted = Array.from({ length: (rows * columns) / of }, (_, g) => {
    const scores = Array.from({ length: of }, (_, a) =>
      Math.fround(Math.abs(w[g * of + a]!) * factors[(g * of + a) % columns]!),
    );
    const chosen = lowest(scores, of - keep);
    return scores.map((_, a) => Number(chosen.has(a)));
  });
  const found = await gpu.readWords(marks.buffer, rows * columns);
  expect([...found]).toEqual(wanted.flat());
  await dropMarked(held.layer, marks.buffer);
  const left = await gpu.readFloats(held.layer.weight.buffer, rows * columns);
  expect(left).toEqual(w.map((x, i) => (found[i] === 1 ? 0 : x)));
});

test("whole columns go, and shares of rows", async () => {
  using held = layerOf(gpu, new Float32Array([1, 2, 3, 4, 5, 6]), 2);
  using marks = gpu.upload(new Uint32Array([0, 1, 0]), "marks");
  await dropMarked(held.layer, marks.buffer, "columns");
  expect([...(await gpu.readFloats(held.layer.weight.buffer, 6))]).toEqual([1, 0, 3, 4, 0, 6]);
  await dropLowest(held.layer, { share: 2 / 3 }, "row", new Float32Array([1, 1, 0.1]));
  expect([...(await gpu.readFloats(held.layer.weight.buffer, 6))]).toEqual([1, 0, 0, 4, 0, 0]);
});

test("a share that its own rounding made smaller still counts whole weights", () => {
  expect([countOf(0.29, 100), countOf(0.5, 7), countOf(1, 9), countOf(0, 9)]).toEqual([29, 3, 9, 0]);
});
