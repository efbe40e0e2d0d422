import { describe, expect, test } from "bun:test";
import type { Example } from "../../src/data/examples.ts";
import { rowDigest } from "../../src/data/row-digest.ts";
import { symmetricInverse } from "../../src/tensor/linear-algebra/cholesky.ts";
import { blocksOf, drawnBlocks, inclusionWeights } from "../../src/unlearn/attribution/datamodel.ts";
import { outputsWithout } from "../../src/unlearn/attribution/file.ts";
import { normals } from "../support/random.ts";

describe("datamodels", () => {
  test("blocks are rows next to each other in one group", () => {
    const { of, count } = blocksOf([0, 0, 0, 1, 1, 1, 1, 1], 2);
    expect([...of]).toEqual([0, 0, 1, 2, 2, 3, 3, 4]);
    expect(count).toBe(5);
  });

  test("a share of the blocks is drawn, another one for every model", () => {
    const drawn = Array.from({ length: 40 }, (_, k) => drawnBlocks(10, 0.5, 3, k));
    for (const taken of drawn) expect(taken.reduce((sum, one) => sum + one, 0)).toBe(5);
    expect(new Set(drawn.map(String)).size).toBeGreaterThan(30);
    expect(drawnBlocks(10, 0.5, 3, 7)).toEqual(drawn[7]!);
    for (let block = 0; block < 10; block++) {
      const times = drawn.reduce((sum, taken) => sum + taken[block]!, 0);
      expect(times).toBeWithin(8, 33);
    }
  });

  test("the dual form is the primal ridge regression with an intercept", () => {
    const [models, blocks, points, lambda] = [30, 6, 2, 0.7];
    const inclusion = Array.from({ length: models }, (_, k) => drawnBlocks(blocks, 0.5, 1, k));
    const outputs = Array.from({ length: models }, (_, k) => normals(k, points));
    const found = inclusionWeights(inclusion, outputs, lambda);
    const centre = Array.from({ length: blocks }, (_, b) => inclusion.reduce((s, t) => s + t[b]! / models, 0));
    const a = inclusion.map((taken) => Array.from(taken, (one, b) => one - centre[b]!));
    const gram = new Float64Array(blocks * blocks);
    for (let i = 0; i < blocks; i++)
      for (let j = 0; j < blocks; j++)
        gram[i * blocks + j] = a.reduce((s, row) => s + row[i]! * row[j]!, i === j ? lambda : 0);
    const inverse = symmetricInverse(gram, blocks)!;
    for (let p = 0; p < points; p++) {
      const level = outputs.reduce((s, y) => s + y[p]! / models, 0);
      const cross = Array.from({ length: blocks }, (_, b) =>
        a.reduce((s, row, k) => s + row[b]! * (outputs[k]![p]! - level), 0),
      );
      for (let b = 0; b < blocks; b++) {
        const expected = cross.reduce((s, c, j) => s + inverse[b * blocks + j]! * c, 0);
        expect(found[b * points + p]).toBeCloseTo(expected, 10);
      }
    }
  });

  test("effects of blocks that add up are found", () => {
    const effects = [3, -1, 0, 2, 0.5];
    const inclusion = Array.from({ length: 60 }, (_, k) => drawnBlocks(5, 0.5, 9, k));
    const outputs = inclusion.map((taken) => Float32Array.of(7 + effects.reduce((s, w, b) => s + w * taken[b]!, 0)));
    const found = inclusionWeights(inclusion, outputs, 1e-6);
    // All models have as many blocks, so effects are known but for what all share.
    const shift = found.reduce((s, w, b) => s + w - effects[b]!, 0) / 5;
    for (const [b, w] of found.entries()) expect(w - shift).toBeCloseTo(effects[b]!, 4);
  });
});

describe("outputs without rows", () => {
  const row = (x: number, place = `row ${x}`): Example => ({
    x: Float32Array.of(x),
    shape: [1],
    label: 0,
    group: 0,
    place,
  });
  const rows = [row(1), row(2), row(2)];
  const attribution = {
    points: rows.slice(0, 2).map(rowDigest),
    outputs: Float32Array.of(1, 2, 3, 4),
    classes: 2,
    of: {
      kind: "rows" as const,
      rows: rows.map(rowDigest),
      effects: Float32Array.of(...[0.5, 0, 0, 1], ...[1, 1, 1, 1], ...[2, 2, 2, 2]),
    },
  };

  test("are the model's own less the effects of the rows, each once", () => {
    const at = (forget: readonly Example[]) =>
      [...outputsWithout(attribution, forget, "file").values()].map((y) => [...y]);
    expect(at([])).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(at([rows[0]!])).toEqual([
      [0.5, 2],
      [3, 3],
    ]);
    expect(at([rows[1]!, rows[2]!])).toEqual([
      [-2, -1],
      [0, 1],
    ]);
    expect(() => at([row(3)])).toThrow("row 3: file knows no such row");
    expect(() => at([rows[0]!, rows[0]!])).toThrow("row 1: file knows no such row");
  });

  test("of one forget set are for that one alone", () => {
    const of = { kind: "forget" as const, rows: [rowDigest(rows[0]!)], without: Float32Array.of(0, 0, 1, 1) };
    const one = { ...attribution, of };
    expect([...outputsWithout(one, [rows[0]!], "file").values()].map((y) => [...y])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect(() => outputsWithout(one, [rows[1]!], "file")).toThrow("without 1 other rows");
  });
});
