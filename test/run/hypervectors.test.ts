/** Codes of signs: they keep likeness, more finely the longer they are, and routes follow the nearest prototype. */
import { expect, test } from "bun:test";
import { CodeBook, Hypercoder, layerMeans, percentile } from "../../src/run/hypervectors.ts";
import { normals } from "../support/random.ts";

const rowOf = (seed: number, shift = 0) => [normals(seed, 6).map((x) => x + shift), normals(100 + seed, 3)];
const zeros = [new Float64Array(6), new Float64Array(3)];
const cosine = (a: Int8Array, b: Int8Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0) / a.length;
const deviation = (list: readonly number[]) => {
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  return Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / list.length);
};

test("the likeness of codes is that of angles, and its spread over seeds falls with their length", () => {
  const [a, b] = [rowOf(1), rowOf(1).map((z, l) => z.map((x, i) => x + 0.6 * normals(7 + l, z.length)[i]!))];
  const seeds = Array.from({ length: 12 }, (_, seed) => seed);
  const found = [64, 4096].map((bits) =>
    seeds.map((seed) => {
      const coder = new Hypercoder(zeros, { bits, seed });
      return cosine(coder.code(a), coder.code(b));
    }),
  );
  // Of signs of normal sums with correlation r: 1 - 2 acos(r) / pi; r is the mean of the layers' cosines.
  const cosines = a.map((z, l) => {
    const other = b[l]!;
    const dot = (u: ArrayLike<number>, v: ArrayLike<number>) => Array.from(u).reduce((sum, x, i) => sum + x * v[i]!, 0);
    return dot(z, other) / Math.sqrt(dot(z, z) * dot(other, other));
  });
  const r = (cosines[0]! + cosines[1]!) / 2;
  for (const x of found[1]!) expect(Math.abs(x - (1 - (2 * Math.acos(r)) / Math.PI))).toBeLessThan(0.06);
  expect(deviation(found[1]!)).toBeLessThan(0.4 * deviation(found[0]!));
});

test("a row goes to the prototype of its own kind, and the order of rows does not matter", () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    kind: i % 2 ? "up" : "down",
    layers: rowOf(i, i % 2 ? 1.5 : -1.5),
  }));
  const coder = new Hypercoder(layerMeans(rows.map(({ layers }) => layers)), { bits: 2048, seed: 3 });
  const bookOf = (list: typeof rows) => {
    const book = new CodeBook();
    for (const { kind, layers } of list) book.add(kind, coder.code(layers));
    return book;
  };
  const [book, turned] = [bookOf(rows.slice(0, 20)), bookOf(rows.slice(0, 20).toReversed())];
  const right = rows.slice(20).filter(({ kind, layers }) => book.nearest(coder.code(layers)).name === kind);
  expect(right.length).toBeGreaterThan(17);
  for (const { layers } of rows) expect(turned.nearest(coder.code(layers))).toEqual(book.nearest(coder.code(layers)));
  expect(() => new CodeBook().nearest(coder.code(rows[0]!.layers))).toThrow("there are no prototypes");
});

test("a percentile is a value of the list", () => {
  const values = Array.from({ length: 100 }, (_, i) => 99 - i);
  expect([percentile(values, 0.05), percentile(values, 0), percentile([3], 0.5)]).toEqual([5, 0, 3]);
});
