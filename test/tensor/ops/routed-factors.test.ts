/** Factors of experts against loops in f64, with their gradients, over odd sizes. */
import { expect, test } from "bun:test";
import { mixedFactors, routedFactors } from "../../../src/tensor/ops/routed-factors.ts";
import { route } from "../../../src/tensor/ops/router.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const SCALE = 0.7;

interface Sizes {
  readonly rows: number;
  readonly experts: number;
  readonly active: number;
  readonly rank: number;
  readonly into: number;
  readonly out: number;
}

/** Runs an op on parameters of these shapes, and goes back from its result with dy: values, result and gradients. */
async function run(
  shapes: readonly (readonly number[])[],
  dy: Float32Array,
  op: (rec: Recorder, x: Tensor[]) => Tensor,
) {
  const made = shapes.map((shape, i) => new Parameter(gpu, `p${i}`, shape));
  const values = made.map(({ size }, i) => normals(i + 1, size));
  for (const [i, parameter] of made.entries()) parameter.write(values[i]!);
  const rec = new Recorder(profileOf(gpu));
  const y = op(
    rec,
    made.map((parameter) => rec.parameter(parameter)),
  );
  rec.output("y", y);
  rec.backward([[y, rec.constant(dy, y.shape, "dy")]]);
  const program = await Program.compile(gpu, rec);
  program.run({ accumulate: 0 });
  const found = (await program.read("y")) as Float32Array;
  const gradients: Float32Array[] = [];
  for (const { gradient, size } of made) gradients.push(await gpu.readFloats(gradient, size));
  program.free();
  for (const parameter of made) parameter.free();
  return { values, found, gradients };
}

/** y and the gradients of x, A, B and of every expert's weight (N, K), all in f64. */
function wanted(
  { rows, experts, rank, into, out }: Sizes,
  [x, a, b]: readonly Float32Array[],
  weights: Float64Array,
  base: Float32Array,
  dy: Float32Array,
) {
  const y = Float64Array.from(base);
  const gradients = [x!.length, a!.length, b!.length, rows * experts].map((size) => new Float64Array(size));
  const [dx, da, db, dw] = gradients;
  for (let n = 0; n < rows; n++)
    for (let e = 0; e < experts; e++)
      for (let r = 0; r < rank; r++) {
        const at = e * rank + r;
        let low = 0;
        for (let i = 0; i < into; i++) low += a![at * into + i]! * x![n * into + i]!;
        let back = 0;
        for (let o = 0; o < out; o++) back += b![at * out + o]! * dy[n * out + o]!;
        const weight = SCALE * weights[n * experts + e]!;
        dw![n * experts + e]! += SCALE * low * back;
        for (let o = 0; o < out; o++) {
          y[n * out + o]! += weight * low * b![at * out + o]!;
          db![at * out + o]! += weight * low * dy[n * out + o]!;
        }
        for (let i = 0; i < into; i++) {
          dx![n * into + i]! += weight * back * a![at * into + i]!;
          da![at * into + i]! += weight * back * x![n * into + i]!;
        }
      }
  return { y, gradients };
}

const expectClose = (found: Float32Array, expected: Float64Array) => {
  expect(found.length).toBe(expected.length);
  const most = expected.reduce((least, x) => Math.max(least, Math.abs(x)), 1e-3);
  for (const [i, x] of expected.entries()) expect(Math.abs(found[i]! - x) / most).toBeLessThan(1e-5);
};

const SIZES: readonly Sizes[] = [
  { rows: 1, experts: 1, active: 1, rank: 1, into: 3, out: 5 },
  { rows: 13, experts: 5, active: 2, rank: 3, into: 17, out: 11 },
  { rows: 37, experts: 3, active: 3, rank: 7, into: 8, out: 29 },
  { rows: 67, experts: 31, active: 1, rank: 2, into: 33, out: 4 },
];

const shapesOf = ({ rows, experts, rank, into, out }: Sizes) => [
  [rows, into],
  [experts, rank, into],
  [experts, rank, out],
];

test.each(SIZES)("all experts by their weights: %j", async (sizes) => {
  const { rows, experts, out } = sizes;
  const dy = normals(9, rows * out);
  const shapes = [...shapesOf(sizes), [rows, experts], [rows, out]];
  const { values, found, gradients } = await run(shapes, dy, (rec, [x, a, b, weights, add]) =>
    mixedFactors(rec, x!, { a: a!, b: b! }, weights!, { scale: SCALE, add: add! }),
  );
  const expected = wanted(sizes, values, Float64Array.from(values[3]!), values[4]!, dy);
  expectClose(found, expected.y);
  for (const [i, gradient] of expected.gradients.entries()) expectClose(gradients[i]!, gradient);
  expect(gradients[4]).toEqual(dy);
});

test.each(SIZES)("the experts that a router takes: %j", async (sizes) => {
  const { rows, experts, active, out } = sizes;
  const dy = normals(9, rows * out);
  const shapes = [...shapesOf(sizes), [rows, experts], [rows, out]];
  const { values, found, gradients } = await run(shapes, dy, (rec, [x, a, b, logits, add]) =>
    routedFactors(rec, x!, { a: a!, b: b! }, route(rec, logits!, { k: active, normalize: true }), {
      scale: SCALE,
      add: add!,
    }),
  );
  const weights = new Float64Array(rows * experts);
  for (let n = 0; n < rows; n++) {
    const own = [...values[3]!.subarray(n * experts, (n + 1) * experts).entries()];
    const taken = own.sort(([, p], [, q]) => q - p).slice(0, active);
    const total = taken.reduce((sum, [, logit]) => sum + Math.exp(logit), 0);
    for (const [e, logit] of taken) weights[n * experts + e] = Math.exp(logit) / total;
  }
  const expected = wanted(sizes, values, weights, values[4]!, dy);
  expectClose(found, expected.y);
  for (const [i, gradient] of expected.gradients.slice(0, 3).entries()) expectClose(gradients[i]!, gradient);
  expect(gradients[4]).toEqual(dy);
});

test("weights of one row are those of all", async () => {
  const sizes = { rows: 7, experts: 3, active: 3, rank: 2, into: 5, out: 6 };
  const dy = normals(9, 42);
  const shapes = [...shapesOf(sizes), [1, 3], [7, 6]];
  const { values, found } = await run(shapes, dy, (rec, [x, a, b, weights, add]) =>
    mixedFactors(rec, x!, { a: a!, b: b! }, weights!, { scale: SCALE, add: add! }),
  );
  const weights = Float64Array.from({ length: 21 }, (_, i) => values[3]![i % 3]!);
  expectClose(found, wanted(sizes, values, weights, values[4]!, dy).y);
});
