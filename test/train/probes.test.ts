/** What training probes see of a small classifier, against float64. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { movement } from "../../src/run/probing/kernel-sketch.ts";
import { ranksOf } from "../../src/run/probing/layer-statistics.ts";
import { neuralCollapse } from "../../src/run/probing/neural-collapse.ts";
import { powerLaw } from "../../src/run/probing/power-law.ts";
import { symmetricEigen } from "../../src/tensor/linear-algebra/symmetric-eigen.ts";
import { simplexEtf } from "../../src/train/heads/sparse-etf.ts";
import { isGrokking } from "../../src/train/methods/probes/kernel-alignment.ts";
import { foreseen } from "../../src/train/methods/probes/logits.ts";
import { normals } from "../support/random.ts";
import {
  answer,
  batchesOf,
  begin,
  CLASSES,
  differences,
  fresh,
  gradientAt,
  INPUT,
  logSum,
  lossAt,
  ROWS,
  WIDTH,
  weightsOf,
} from "./probe-world.ts";

setDefaultTimeout(120_000);
const model = await fresh();
const w = await weightsOf(model);
const gradient = gradientAt(w);
const lengthOf = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));
const near = (found: number | undefined, expected: number, tolerance: number): void => {
  expect(Math.abs((found ?? Number.NaN) - expected)).toBeLessThan(tolerance * Math.max(1e-3, Math.abs(expected)));
};

/** What a probe says of the model as it is; rows in batches of four and three. */
async function seen(name: string, given: Readonly<Record<string, unknown>> = {}) {
  const probe = await begin(name, model, batchesOf(4), given);
  const look = await probe.look(0, undefined);
  probe.free();
  return look;
}

test("norms are those of weights and gradients, and of the change since the mark", async () => {
  const probe = await begin("norms", model, batchesOf(4), {}, 1);
  const first = await probe.look(0, undefined);
  near(first.numbers.loss, lossAt(w), 1e-5);
  near(first.numbers.weight, lengthOf(w), 1e-6);
  near(first.numbers.gradient, lengthOf(gradient), 1e-4);
  expect(first.numbers.update).toBeUndefined();
  const own = [gradient.slice(0, WIDTH * (INPUT + 1)), gradient.slice(WIDTH * (INPUT + 1))];
  const rms = own.map((part) => lengthOf(part) / Math.sqrt(part.length)).sort((a, b) => a - b);
  near(first.numbers.grad_rms, (rms[0]! + rms[1]!) / 2, 1e-4);
  expect(first.parts!.map(({ part }) => part)).toEqual(["layers.0", "classifier"]);
  expect(first.warnings).toEqual([expect.stringContaining("eps 1")]); // an eps of 1 is larger than any gradient here
  await probe.ahead?.();
  const [parameter] = model.trainable();
  const before = await model.gpu.readFloats(parameter!.buffer, parameter!.size);
  parameter!.write(before.map((x) => x + 0.25));
  const second = await probe.look(1, undefined);
  near(second.numbers.update, 0.25 * Math.sqrt(parameter!.size), 1e-5);
  parameter!.write(before);
  probe.free();
});

test("ranks are those of known singular values, whichever side is longer", async () => {
  const diagonal = Float32Array.from([3, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0]); // (3, 4)
  const shares = [3, 2, 1].map((s) => s / 6);
  const expected = Math.exp(-shares.reduce((sum, p) => sum + p * Math.log(p), 0));
  for (const turned of [
    diagonal,
    Float32Array.from({ length: 12 }, (_, i) => diagonal[(i % 3) * 4 + Math.floor(i / 3)]!),
  ]) {
    const ranks = ranksOf(turned, turned === diagonal ? 4 : 3);
    near(ranks.effective, expected, 1e-9);
    near(ranks.stable, 14 / 9, 1e-9);
  }
  expect(ranksOf(new Float32Array(6), 2)).toEqual({ effective: 0, stable: 0 });
  const features = Float32Array.from(ROWS.flatMap(({ x }) => answer(w, x).features));
  const { numbers } = await seen("effective-rank");
  near(numbers.effective, ranksOf(features, WIDTH).effective, 1e-4);
});

test("layers have the variance, the largest values and the gradients that they have in float64", async () => {
  const { parts, numbers } = await seen("activations");
  const features = ROWS.flatMap(({ x }) => answer(w, x).features);
  const mean = features.reduce((a, b) => a + b, 0) / features.length;
  const variance = features.reduce((sum, x) => sum + (x - mean) ** 2, 0) / features.length;
  const sorted = features.map(Math.abs).sort((a, b) => a - b);
  const massive = sorted.at(-1)! / ((sorted[13]! + sorted[14]!) / 2);
  // d loss / d features = (softmax - one-hot) W / rows
  const head = w.slice(WIDTH * (INPUT + 1));
  const squares = ROWS.flatMap(({ x, label }) => {
    const { logits } = answer(w, x);
    const errors = logits.map((z, c) => (Math.exp(z - logSum(logits)) - (c === label ? 1 : 0)) / ROWS.length);
    return Array.from({ length: WIDTH }, (_, i) => errors.reduce((sum, e, c) => sum + e * head[c * WIDTH + i]!, 0));
  });
  expect(parts!.map(({ part }) => part)).toEqual(["hidden.1", "features"]);
  for (const part of parts!) {
    near(Number(part.variance), variance, 1e-4);
    near(Number(part.massive), massive, 1e-4);
    near(Number(part.gradient), lengthOf(squares), 1e-4);
  }
  near(numbers.massive, massive, 1e-4);
});

test("log Z is that of the outputs", async () => {
  const sums = ROWS.map(({ x }) => logSum(answer(w, x).logits));
  const { numbers } = await seen("logits");
  near(numbers.log_z, sums.reduce((a, b) => a + b, 0) / sums.length, 1e-5);
  near(numbers.log_z_square, sums.reduce((a, b) => a + b * b, 0) / sums.length, 1e-5);
  near(numbers.largest_log_z, Math.max(...sums.map(Math.abs)), 1e-5);
  expect(numbers.max_attn_logit).toBeUndefined();
});

test("scores that grow by a power are foreseen, and others are not", () => {
  const growing = [1, 2, 4, 8].map((step) => [step, 3 * step ** 2] as const);
  near(foreseen(growing, 100), 3e4, 1e-9);
  expect(foreseen(growing.slice(0, 2), 100)).toBeUndefined();
  expect(powerLaw([[2, 1]])).toBeUndefined();
});

test("the largest eigenvalue of the Hessian is found, with a residual that bounds its error", async () => {
  const rows = differences(w, gradientAt, 1e-3);
  const n = w.length;
  const hessian = Float64Array.from({ length: n * n }, (_, i) => {
    const [a, b] = [Math.floor(i / n), i % n];
    return (rows[a]![b]! + rows[b]![a]!) / 2;
  });
  const { values } = symmetricEigen(hessian, n);
  const largest = Math.max(...values);
  expect(largest).toBeGreaterThan(Math.abs(values.at(-1)!));
  const { numbers } = await seen("curvature", { curvature_iterations: 60 });
  near(numbers.eigenvalue, largest, 2e-3);
  expect(numbers.residual!).toBeLessThan(0.05 * largest);
  // Stopped early it is further off, and no further than it says.
  const early = (await seen("curvature", { curvature_iterations: 3 })).numbers;
  const gap = Math.min(...Array.from(values, (value) => Math.abs(value - early.eigenvalue!)));
  expect(gap).toBeLessThan(early.residual! + 2e-3 * largest);
  expect(early.residual!).toBeGreaterThan(numbers.residual!);
});

describe("the tangent kernel", () => {
  const outputs = (at: Float64Array) => ROWS.flatMap(({ x }) => answer(at, x).logits);
  const jacobian = differences(w, outputs, 1e-5); // by weight, of every output
  const count = ROWS.length * CLASSES;
  const kernel = (a: number, b: number) => jacobian.reduce((sum, own) => sum + own[a]! * own[b]!, 0);
  const columns = Array.from({ length: count }, (_, b) =>
    Float64Array.from({ length: count }, (__, a) => kernel(a, b)),
  );
  const labels = ROWS.flatMap(({ label }) =>
    Array.from({ length: CLASSES }, (_, c) => (c === label ? 1 : 0) - 1 / CLASSES),
  );
  const size = Math.sqrt(columns.reduce((sum, column) => sum + lengthOf(column) ** 2, 0));
  const along = columns.reduce(
    (sum, column, b) => sum + labels[b]! * column.reduce((all, x, a) => all + x * labels[a]!, 0),
    0,
  );

  test("is exact where there is a column for every output", async () => {
    const { numbers } = await seen("kernel-alignment", { kernel_alignment_columns: count });
    near(numbers.size, size, 1e-3);
    near(numbers.alignment, along / (size * lengthOf(labels) ** 2), 1e-3);
    expect(numbers.movement).toBe(0);
  });

  test("is estimated by random signs, within what so many give", async () => {
    const { numbers } = await seen("kernel-alignment", { kernel_alignment_columns: 20 });
    near(numbers.size, size, 0.25);
    near(numbers.alignment, along / (size * lengthOf(labels) ** 2), 0.25);
  });

  test("moves where weights do, and not where it only grows", () => {
    expect(
      movement(
        columns,
        columns.map((column) => column.map((x) => 3 * x)),
      ),
    ).toBeLessThan(1e-6);
    const other = [Float64Array.of(1, 0), Float64Array.of(0, 0)];
    expect(movement(other, [Float64Array.of(0, 0), Float64Array.of(0, 1)])).toBeCloseTo(Math.SQRT2, 12);
  });

  test("is remembered from look to look, and by its state", async () => {
    const probe = await begin("kernel-alignment", model, batchesOf(4));
    await probe.look(0, undefined);
    const [parameter] = model.trainable();
    const before = await model.gpu.readFloats(parameter!.buffer, parameter!.size);
    parameter!.write(before.map((x, i) => x + 0.3 * Math.sin(i)));
    const other = await begin("kernel-alignment", model, batchesOf(4));
    other.load!(JSON.parse(JSON.stringify(probe.state!())));
    const [moved, again] = [await probe.look(1, undefined), await other.look(1, undefined)];
    expect(moved.numbers.movement!).toBeGreaterThan(0.01);
    expect(again.numbers).toEqual(moved.numbers);
    parameter!.write(before);
    probe.free();
    other.free();
  });

  test("warns where rows are fitted, held-out rows are not, and features move", () => {
    const [now, before] = [
      { train: 0.05, held: 2 },
      { train: 0.06, held: 2.01 },
    ];
    expect(isGrokking(now, before, 0.02, 2)).toBe(true);
    expect(isGrokking(now, before, 0.001, 2)).toBe(false); // a kernel that rests
    expect(isGrokking({ ...now, held: 0.1 }, before, 0.02, 2)).toBe(false); // rows that fit
    expect(isGrokking({ ...now, train: 1 }, before, 0.02, 2)).toBe(false);
    expect(isGrokking(now, undefined, 0.02, 2)).toBe(false);
  });
});

describe("neural collapse", () => {
  test("is whole for a simplex frame", () => {
    const frame = simplexEtf({ classes: 4, width: 6, sparsity: 0, steps: 0, seed: 3 });
    const labels = [0, 1, 2, 3, 3, 0];
    const features = labels.flatMap((label) => [...frame[label]!].map((x) => 5 + 2 * x));
    const found = neuralCollapse({ features, width: 6, labels }, { said: labels, head: (label) => frame[label]! });
    for (const value of Object.values(found)) expect(Math.abs(value!)).toBeLessThan(1e-6);
  });

  test("has the trace of the within covariance times the pseudo-inverse of the between one", () => {
    const [width, classes, count] = [5, 3, 24];
    const labels = Array.from({ length: count }, (_, i) => i % classes);
    const features = normals(8, count * width);
    const means = Array.from({ length: classes }, (_, k) =>
      Array.from({ length: width }, (__, i) => {
        const own = labels.flatMap((label, row) => (label === k ? [features[row * width + i]!] : []));
        return own.reduce((a, b) => a + b, 0) / own.length;
      }),
    );
    const centre = means[0]!.map((_, i) => means.reduce((sum, mean) => sum + mean[i]! / classes, 0));
    const matrix = (rows: readonly (readonly number[])[]) =>
      Float64Array.from({ length: width * width }, (_, p) =>
        rows.reduce((sum, row) => sum + (row[Math.floor(p / width)]! * row[p % width]!) / rows.length, 0),
      );
    const within = matrix(labels.map((label, row) => means[label]!.map((m, i) => features[row * width + i]! - m)));
    const { values, vectors } = symmetricEigen(matrix(means.map((mean) => mean.map((m, i) => m - centre[i]!))), width);
    let trace = 0;
    for (let j = 0; j < classes - 1; j++)
      for (let a = 0; a < width; a++)
        for (let b = 0; b < width; b++)
          trace += (vectors[j * width + a]! * vectors[j * width + b]! * within[a * width + b]!) / values[j]!;
    const { nc1, nc4 } = neuralCollapse({ features, width, labels }, { said: labels.map(() => 9) });
    near(nc1, trace / classes, 1e-8);
    expect(nc4).toBe(1);
  });

  test("is read of a model's features, head and answers", async () => {
    const { numbers } = await seen("neural-collapse");
    const answers = ROWS.map(({ x }) => answer(w, x));
    const labels = ROWS.map(({ label }) => label);
    const head = w.slice(WIDTH * (INPUT + 1));
    const said = answers.map(({ logits }) => logits.indexOf(Math.max(...logits)));
    const given = { features: answers.flatMap(({ features }) => features), width: WIDTH, labels };
    const { nc3, ...found } = neuralCollapse(given, {
      said,
      head: (label) => head.subarray(label * WIDTH, (label + 1) * WIDTH),
    });
    for (const [name, value] of Object.entries(found)) near(numbers[name], value, 1e-4);
    near(numbers.nc3, nc3!, 1e-4);
    near(numbers.accuracy, said.filter((label, row) => label === labels[row]).length / ROWS.length, 1e-9);
  });
});
