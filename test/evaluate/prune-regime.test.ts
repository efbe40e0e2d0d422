/** Regimes of pruning: the measures by what must hold of them, and the rule. */
import { expect, test } from "bun:test";
import { ADVICE, regimeOf } from "../../src/evaluate/prune-regime/regimes.ts";
import { putBetween, Twins } from "../../src/evaluate/prune-regime/twins.ts";
import { Model } from "../../src/model/model.ts";
import { linearCka } from "../../src/run/probing/cka.ts";
import { putWeights, readWeights } from "../../src/run/probing/host-weights.ts";
import { connectivityOf } from "../../src/run/probing/linear-connectivity.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_EXAMPLES } from "../support/tiny-models.ts";

const gpu = await sharedGpu();

test("features that are turned and scaled are alike, others are not", () => {
  const [rows, width] = [40, 3];
  const values = normals(1, rows * width);
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  // A rotation in the plane of the first two columns, a reflection of the third, and a shift.
  const turned = values.map((_, i) => {
    const [x, y, z] = values.subarray(i - (i % width), i - (i % width) + width);
    return 5 + 3 * [c * x! - s * y!, s * x! + c * y!, -z!][i % width]!;
  });
  expect(linearCka({ rows, values }, { rows, values: turned })).toBeCloseTo(1, 6);
  const other = linearCka({ rows, values }, { rows, values: normals(2, rows * 7) });
  expect(other).toBeGreaterThan(0);
  expect(other).toBeLessThan(0.5);
  // |A^T B|^2 / (|A^T A| |B^T B|) of two columns by hand.
  const [a, b] = [
    { rows: 3, values: [1, 0, -1] },
    { rows: 3, values: [2, -1, -1] },
  ];
  expect(linearCka(a, b)).toBeCloseTo(3 ** 2 / (2 * 6), 12);
  expect(() => linearCka(a, { rows: 2, values: [1, 2] })).toThrow("features of 3 and of 2 rows");
});

test("the line's loss at its farthest from the mean of the ends is what counts", () => {
  expect(connectivityOf([1, 1, 1])).toEqual({ lmc: 0, at: 0 });
  expect(connectivityOf([1, 4, 2])).toEqual({ lmc: -2.5, at: 0.5 });
  expect(connectivityOf([2, 1.5, 1.9, 1.2, 2])).toEqual({ lmc: 0.8, at: 0.75 });
  expect(connectivityOf([Number.NaN, 1]).lmc).toBeNaN();
});

test("a barrier asks for a higher temperature, likeness for a lower one", () => {
  const bounds = { barrier: 0.1, similar: 0.9 };
  const regime = (lmc: number, cka: number) => regimeOf({ lmc, cka, loss: 2 }, bounds);
  expect([regime(-0.3, 1), regime(-0.1, 0.5), regime(-0.1, 0.95), regime(1, 0.2)]).toEqual([
    "I",
    "II-A",
    "II-B",
    "II-A",
  ]);
  expect(ADVICE.I).toBe("raise the temperature");
  expect(ADVICE["II-B"]).toBe("lower the temperature");
});

test("each layer loses its smallest weights, which stay away, and the line has both ends", async () => {
  const model = await Model.fresh(gpu, TINY_EXAMPLES.mlp!, "mlp", { seed: 3 });
  const dense = await readWeights(model);
  using twins = await Twins.of(model, "model");
  await twins.prune(0.25);
  const pruned = await readWeights(model);
  const changed = [...pruned].filter(([parameter, values]) => values.some((x, i) => x !== dense.get(parameter)![i]));
  expect(changed.length).toBeGreaterThan(0);
  for (const [parameter, values] of changed) {
    const before = dense.get(parameter)!;
    expect(values.filter((x) => x !== 0).length).toBe(values.length - Math.floor(0.75 * values.length));
    const least = Math.min(...values.filter((x) => x !== 0).map(Math.abs));
    expect(before.every((x, i) => values[i] === x || Math.abs(x) <= least)).toBe(true);
  }
  putWeights(model, dense);
  await twins.hold();
  expect(await readWeights(model)).toEqual(pruned);
  putBetween(model, dense, pruned, 0.25);
  for (const [parameter, values] of await readWeights(model))
    expect(
      values.every((x, i) => Math.abs(x - 0.75 * dense.get(parameter)![i]! - 0.25 * pruned.get(parameter)![i]!) < 1e-6),
    ).toBe(true);
  model.free();
});
