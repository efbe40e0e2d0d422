/** Weights that are larger than what an adapter binds: cut into rows, they give what they give whole. */
import { expect, test } from "bun:test";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { rowNorm } from "../../src/tensor/ops/dora.ts";
import { embedding } from "../../src/tensor/ops/embedding.ts";
import { linear } from "../../src/tensor/ops/linear.ts";
import { dispatch, groupedLinear } from "../../src/tensor/ops/moe.ts";
import { route } from "../../src/tensor/ops/router.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder, type Step } from "../../src/tensor/recorder.ts";
import { rowParts } from "../../src/tensor/stretches.ts";
import { sizeOf, type Tensor } from "../../src/tensor/tensor.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [VOCABULARY, WIDTH, TOKENS] = [700, 24, 9];
const IDS = Int32Array.of(0, 699, 3, 128, -1, 255, 3, 700, 512);
const STEP_SIZE = 2 ** 14;

const [EXPERTS, OUT] = [50, 14]; // as many values as the table has

/** Inputs of some cases by name. */
const EXTRA = { logits: [TOKENS, EXPERTS], b: [VOCABULARY, TOKENS], wideA: [3, VOCABULARY], wideB: [WIDTH, 3] };

type Inputs = Record<"ids" | "x" | "weight" | "other" | "experts" | keyof typeof EXTRA, Tensor>;
type Build = (rec: Recorder, x: Inputs) => Tensor;

/** Steps that were recorded, the result, and the gradients of two micro-batches. */
async function run(build: Build, maxBinding: number | undefined, dtype: "f32" | "bf16" = "f32") {
  const data = normals(1, VOCABULARY * WIDTH);
  const weight = new Parameter(gpu, "weight", [VOCABULARY, WIDTH], dtype);
  weight.write(dtype === "f32" ? data : new Uint16Array(encodeFloats(data, "BF16").slice().buffer));
  const other = new Parameter(gpu, "other", [WIDTH, VOCABULARY]);
  other.write(normals(2, VOCABULARY * WIDTH));
  const experts = new Parameter(gpu, "experts", [EXPERTS, OUT, WIDTH], dtype);
  experts.write(dtype === "f32" ? data : new Uint16Array(encodeFloats(data, "BF16").slice().buffer));
  const rec = new Recorder({ ...profileOf(gpu), ...(maxBinding ? { maxBinding } : {}) });
  const x = rec.input("x", [TOKENS, WIDTH]);
  x.needsGrad = true;
  const ids = rec.input("ids", [TOKENS], "i32");
  const extra = Object.entries(EXTRA).map(([name, shape]) => [name, rec.input(name, shape)] as const);
  const weights = { weight: rec.parameter(weight), other: rec.parameter(other), experts: rec.parameter(experts) };
  const y = build(rec, { ids, x, ...weights, ...(Object.fromEntries(extra) as Record<keyof typeof EXTRA, Tensor>) });
  const seed = rec.input("seed", y.shape);
  rec.backward([[y, seed]]);
  rec.output("y", y);
  const dx = rec.incoming(x);
  if (dx) rec.output("dx", dx);
  const program = await Program.compile(gpu, rec);
  if (program.takes("x") && program.steps.some(uses(x))) program.write("x", normals(3, TOKENS * WIDTH));
  if (program.steps.some(uses(ids))) program.write("ids", IDS);
  for (const [name, tensor] of extra)
    if (program.steps.some(uses(tensor))) program.write(name, normals(5, sizeOf(tensor.shape)));
  program.write(
    "seed",
    normals(
      4,
      y.shape.reduce((a, b) => a * b, 1),
    ),
  );
  program.run({ accumulate: 0 });
  program.run({ accumulate: 1 });
  const result = {
    steps: program.steps.length,
    y: await program.read("y"),
    dx: dx ? await program.read("dx") : undefined,
    gradients: await Promise.all(
      [weight, other, experts].map((p) => (p.hasGradient ? gpu.readFloats(p.gradient, p.size) : undefined)),
    ),
    reached: rec.reached().size,
  };
  program.free();
  weight.free();
  other.free();
  experts.free();
  return result;
}

const uses =
  (x: Tensor) =>
  ({ bind }: Step) =>
    Object.values(bind).some(({ storage }) => storage === x.storage);

/** Equal but for the order of sums: within 2e-6 of the largest value. */
function near(found: ArrayLike<number> | undefined, wanted: ArrayLike<number> | undefined) {
  expect(found?.length).toBe(wanted?.length);
  if (!found || !wanted) return;
  const largest = Array.from(wanted).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const gap = Array.from(wanted).reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
  expect(largest).toBeGreaterThan(0);
  expect(gap).toBeLessThanOrEqual(2e-6 * largest);
}

const CASES: Record<string, Build> = {
  "rows of a table": (rec, { ids, weight }) => embedding(rec, ids, weight),
  "a linear layer": (rec, { x, weight }) => linear(rec, x, weight, { scale: 0.5 }),
  "a linear layer with a residual": (rec, { x, weight }) =>
    linear(rec, x, weight, { add: linear(rec, x, weight, { scale: 2 }) }),
  "a layer stored (in, out)": (rec, { x, other, weight }) =>
    linear(rec, linear(rec, x, other, { transposed: true }), weight, { transposed: true }),
  "experts of a layer": (rec, { x, logits, experts }) => {
    const { plan } = route(rec, logits, { k: 2, normalize: true });
    return groupedLinear(rec, dispatch(rec, x, plan), experts, plan);
  },
  "a tied head": (rec, { ids, weight }) => linear(rec, embedding(rec, ids, weight), weight),
};

test.each(Object.keys(CASES))("%s", async (name) => {
  const whole = await run(CASES[name]!, undefined);
  const cut = await run(CASES[name]!, STEP_SIZE);
  expect(cut.steps).toBeGreaterThan(whole.steps);
  expect(cut.reached).toBe(whole.reached);
  near(cut.y, whole.y);
  near(cut.dx, whole.dx);
  for (const i of [0, 1, 2]) near(cut.gradients[i], whole.gradients[i]);
});

test.each([
  ["a tied head", 0],
  ["experts of a layer", 2],
] as const)("bf16: %s", async (name, which) => {
  const whole = await run(CASES[name]!, undefined, "bf16");
  const cut = await run(CASES[name]!, STEP_SIZE, "bf16");
  near(cut.y, whole.y);
  near(cut.gradients[which], whole.gradients[which]);
});

test.each([
  ["(out, in)", (rec, { weight, x, b }) => rowNorm(rec, weight, { a: x, b, scale: 0.5 })],
  [
    "(in, out)",
    (rec, { weight, wideA, wideB }) => rowNorm(rec, weight, { a: wideA, b: wideB, scale: 0.5, transposed: true }),
  ],
] as [string, Build][])("lengths of rows for DoRA, weight stored %s", async (_, build) => {
  const whole = await run(build, undefined);
  const cut = await run(build, STEP_SIZE);
  expect(cut.steps).toBeGreaterThan(whole.steps);
  near(cut.y, whole.y);
});

test("no step of a cut weight binds more than the adapter does", () => {
  const rec = new Recorder({ ...profileOf(gpu), maxBinding: STEP_SIZE });
  const weight = new Parameter(gpu, "weight", [VOCABULARY, WIDTH]);
  const parts = rowParts(rec, rec.parameter(weight));
  expect(parts.map(({ shape }) => shape[0]!).reduce((a, b) => a + b, 0)).toBe(VOCABULARY);
  for (const { shape, offset } of parts) {
    expect(shape[0]! * WIDTH * 4).toBeLessThanOrEqual(STEP_SIZE);
    expect(offset % 256).toBe(0);
  }
  weight.free();
});
