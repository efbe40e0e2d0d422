/** Rows that approximations make, against numbers worked by hand and combinations that are known. */
import { describe, expect, test } from "bun:test";
import { method as interpolation } from "../../../src/merge/approximations/common-interpolation.ts";
import { method as hewitt } from "../../../src/merge/approximations/john-hewitt.ts";
import { method as omp } from "../../../src/merge/approximations/omp.ts";
import { method as randn } from "../../../src/merge/approximations/randn.ts";
import { pieceWeights, method as subword } from "../../../src/merge/approximations/subword.ts";
import type { NewRow } from "../../../src/merge/vocabulary/mixed-table.ts";
import { normals } from "../../support/random.ts";
import { questionOf, tableOf } from "../transplant/fixtures.ts";

/** The terms of a sum, by row. */
function termsOf(row: NewRow): Map<number, number> {
  if (row instanceof Float64Array) throw new Error("no sum");
  return new Map(Array.from(row.rows, (id, i) => [id, row.weights[i]!]));
}

describe("omp", () => {
  test("finds a sparse combination of the donor and takes the same of the model", async () => {
    const [rows, columns] = [90, 64];
    const donorRows = normals(1, rows * columns);
    const target = Float32Array.from(
      { length: columns },
      (_, i) => 3 * donorRows[17 * columns + i]! - 2 * donorRows[80 * columns + i]!,
    );
    const donor = tableOf(Float32Array.of(...donorRows, ...target), columns);
    const found = await omp.rows(questionOf(tableOf(normals(2, rows * 6), 6), donor, rows), { terms: 8 });
    const terms = termsOf(found(0));
    // What is left after two steps is rounding of f32, so a token may stand with almost nothing.
    expect(terms.get(17)).toBeCloseTo(3, 5);
    expect(terms.get(80)).toBeCloseTo(-2, 5);
    for (const [id, weight] of terms) if (id !== 17 && id !== 80) expect(Math.abs(weight)).toBeLessThan(1e-5);
  });

  test("with more terms than shared tokens takes all of them", async () => {
    const donor = tableOf(Float32Array.of(1, 0, 1, 1, 0, 3), 2);
    const found = await omp.rows(questionOf(tableOf(Float32Array.of(5, 7), 1), donor, 2), { terms: 64 });
    expect([...termsOf(found(0))].sort().map(([id, weight]) => [id, weight.toFixed(9)])).toEqual([
      [0, "-3.000000000"],
      [1, "3.000000000"],
    ]);
  });
});

describe("common-interpolation", () => {
  // Rows at 0, 1 and 10 on a line of the plane; the wanted one at 2 on it.
  const donor = tableOf(Float32Array.of(0, 1, 1, 1, 10, 1, 2, 1), 2);
  const weights = async (values: object) => {
    const given = { terms: 2, weight_scheme: "distance_proportional", cosine_similarity: false, ...values } as const;
    return termsOf((await interpolation.rows(questionOf(tableOf(normals(1, 3), 1), donor, 3), given))(0));
  };

  test("weighs by distance", async () => {
    const found = await weights({});
    expect([found.get(0)!.toFixed(6), found.get(1)!.toFixed(6)]).toEqual(["0.333333", "0.666667"]);
  });

  test("solves with sum one, and without", async () => {
    for (const weight_scheme of ["barycentric", "least_squares"]) {
      const found = await weights({ weight_scheme });
      expect([found.get(0)!.toFixed(6), found.get(1)!.toFixed(6)]).toEqual(["-1.000000", "2.000000"]);
    }
  });

  test("is nearest by angle with --cosine-similarity", async () => {
    const found = await weights({ cosine_similarity: true, terms: 2 });
    const cosines = [3 / Math.sqrt(10), 21 / Math.sqrt(505)];
    const sum = cosines[0]! + cosines[1]!;
    expect([found.get(1)!.toFixed(5), found.get(2)!.toFixed(5)]).toEqual(cosines.map((c) => (c / sum).toFixed(5)));
  });
});

describe("subword", () => {
  test("weighs pieces by their places", () => {
    expect(pieceWeights("mean", 4, "head")).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(pieceWeights("sum", 2, "head")).toEqual([1, 1]);
    expect(pieceWeights("weighted_mean", 3, "embedding")).toEqual([1 / 6, 2 / 6, 3 / 6]);
    expect(pieceWeights("weighted_mean", 3, "head")).toEqual([3 / 6, 2 / 6, 1 / 6]);
    expect(pieceWeights("first_last", 3, "embedding")).toEqual([0, 0, 1]);
    expect(pieceWeights("first_last", 3, "head")).toEqual([1, 0, 0]);
  });

  test("tells tokens that cannot be spelled", async () => {
    const said: string[] = [];
    const table = tableOf(normals(1, 4), 1);
    const question = { ...questionOf(table, table, 2), pieces: ({ id }: { id: number }) => (id === 2 ? [0, 1] : []) };
    const found = await subword.rows({ ...question, warn: (text) => said.push(text) }, { subword_method: "mean" });
    expect(termsOf(found(0))).toEqual(
      new Map([
        [0, 0.5],
        [1, 0.5],
      ]),
    );
    expect(termsOf(found(1)).size).toBe(0);
    expect(said).toEqual(['1 token cannot be spelled by the model\'s tokenizer and get zeros: "t1"']);
  });
});

describe("random rows", () => {
  test("john-hewitt has the mean and covariance of the rows", async () => {
    const values = Float32Array.from(normals(3, 60), (v, i) => (i % 2 === 0 ? 2 + v : 0.5 * v));
    for (let i = 1; i < 60; i += 2) values[i]! += 0.8 * values[i - 1]!; // the two columns go together
    const own = tableOf(values, 2);
    const n = 4000;
    const donor = tableOf(new Float32Array(n), 1);
    const found = await hewitt.rows(questionOf(own, donor, 0), {});
    const draws = Array.from({ length: n }, (_, i) => {
      const sum = [0, 0];
      for (const [row, weight] of termsOf(found(i)))
        for (let c = 0; c < 2; c++) sum[c]! += weight * values[2 * row + c]!;
      return sum;
    });
    const moments = (rows: readonly (readonly number[])[]) => {
      const mean = [0, 1].map((c) => rows.reduce((sum, row) => sum + row[c]!, 0) / rows.length);
      const product = (a: number, b: number) =>
        rows.reduce((sum, row) => sum + (row[a]! - mean[a]!) * (row[b]! - mean[b]!), 0) / rows.length;
      return [...mean, product(0, 0), product(0, 1), product(1, 1)];
    };
    const wanted = moments(Array.from({ length: 30 }, (_, row) => [values[2 * row]!, values[2 * row + 1]!]));
    for (const [i, moment] of moments(draws).entries()) expect(Math.abs(moment - wanted[i]!)).toBeLessThan(0.08);
  });

  test("randn is the same whenever it is asked for, and another for every row", async () => {
    const table = tableOf(normals(1, 32), 8);
    const found = await randn.rows(questionOf(table, table, 2), {});
    expect(found(0)).toEqual(found(0));
    expect(found(1)).not.toEqual(found(0));
  });
});
