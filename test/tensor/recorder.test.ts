import { expect, test } from "bun:test";
import { spanGroups } from "../../src/gpu/grid.ts";
import { concat } from "../../src/tensor/concat.ts";
import { scale } from "../../src/tensor/ops/elementwise.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { dynamic, Recorder } from "../../src/tensor/recorder.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";

covers("recorder/add-into");

const gpu = await sharedGpu();
const floats = (...values: number[]) => Float32Array.from(values);

/** y = x + z through the engine's own sharing of gradients: copies x, then adds z. */
function plus(rec: Recorder, x: Tensor, z: Tensor): Tensor {
  const y = rec.result(x.shape, [x, z], "plus");
  const n = x.shape.reduce((a, b) => a * b, 1);
  const groups = spanGroups(Math.ceil(n / 4));
  rec.step({ kernel: "recorder/add-into", bind: { x, y }, params: { n, accumulate: 0 }, groups });
  rec.step({ kernel: "recorder/add-into", bind: { x: z, y }, params: { n, accumulate: 1 }, groups });
  rec.onBackward(y, (dy) => {
    rec.addGradient(x, dy);
    rec.addGradient(z, dy);
  });
  return y;
}

test("a gradient that passes through is shared until one of its sharers changes", async () => {
  // y = (a + b) + (a + c) with a used twice, once more on the way: da = 2 dy, db = dc = dy.
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      a: { shape: [3], data: floats(1, 2, 3), grad: true },
      b: { shape: [3], data: floats(10, 20, 30), grad: true },
      c: { shape: [3], data: floats(100, 200, 300), grad: true },
    },
    build: (rec, { a, b, c }) => plus(rec, plus(rec, a!, b!), plus(rec, a!, c!)),
    seeds: { y: floats(1, -2, 0.5) },
  });
  expect([...outputs.y!]).toEqual([112, 224, 336]);
  expect([...gradients.a!]).toEqual([2, -4, 1]);
  expect([...gradients.b!]).toEqual([1, -2, 0.5]);
  expect([...gradients.c!]).toEqual([1, -2, 0.5]);
});

test("x + x gives twice the gradient", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [1], data: floats(4), grad: true } },
    build: (rec, { x }) => plus(rec, x!, x!),
    seeds: { y: floats(3) },
  });
  expect(outputs.y![0]).toBe(8);
  expect(gradients.x![0]).toBe(6);
});

test("parts of a tensor give back parts of its gradient, zero where nothing came", async () => {
  const data = Float32Array.from({ length: 160 * 4 }, (_, i) => i);
  const seed = Float32Array.from({ length: 64 * 4 }, (_, i) => i + 1);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [160, 4], data, grad: true } },
    build: (rec, { x }) => {
      const [first, , last] = rec.split(x!, 64);
      return { y: plus(rec, first!, first!), z: plus(rec, last!, last!) };
    },
    seeds: { y: seed },
  });
  expect(outputs.z![0]).toBe(2 * 128 * 4);
  expect([...gradients.x!.subarray(0, 256)]).toEqual([...seed.map((g) => 2 * g)]);
  expect(gradients.x!.subarray(256).every((g) => g === 0)).toBe(true);
});

test("joined parts are the whole, and take their share of its gradient", async () => {
  const data = Float32Array.from({ length: 130 * 2 }, (_, i) => Math.sin(i));
  const seed = Float32Array.from({ length: 130 * 2 }, (_, i) => Math.cos(i));
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [130, 2], data, grad: true } },
    build: (rec, { x }) =>
      concat(
        rec,
        rec.split(x!, 64).map((part) => plus(rec, part, part)),
        "joined",
      ),
    seeds: { y: seed },
  });
  expect(outputs.y!).toEqual(data.map((v) => 2 * v));
  expect(gradients.x!).toEqual(seed.map((g) => 2 * g));
});

test("recomputation gives the same gradient", async () => {
  const run = (recompute: boolean) =>
    runOp(gpu, {
      inputs: { x: { shape: [5], data: floats(1, 2, 3, 4, 5), grad: true } },
      build: (rec, { x }) => {
        const block = () => plus(rec, plus(rec, x!, x!), x!);
        const h = recompute ? rec.recomputed(block) : block();
        return plus(rec, h, x!);
      },
      seeds: { y: floats(1, 1, 2, 1, -1) },
    });
  const [plain, again] = [await run(false), await run(true)];
  expect([...plain.outputs.y!]).toEqual([4, 8, 12, 16, 20]);
  expect(again).toEqual(plain);
});

test("recomputation with several results, of which outside some are read, gives the same gradient", async () => {
  const run = (recompute: boolean, used: readonly ("y" | "inner" | "other")[]) =>
    runOp(gpu, {
      inputs: {
        x: { shape: [3], data: floats(1, 2, 3), grad: true },
        z: { shape: [3], data: floats(5, 7, 11), grad: true },
      },
      build: (rec, { x, z }) => {
        const block = () => {
          const inner = plus(rec, x!, x!); // read within as well
          const other = plus(rec, inner, z!); // a result alone
          return [plus(rec, inner, plus(rec, inner, x!)), inner, other];
        };
        const [h, inner, other] = recompute ? rec.recomputedAll(block) : block();
        const parts = { y: h!, inner: inner!, other: other! };
        // Each is read twice, so that its gradient is shared and then added to; the seed's memory is left alone.
        return Object.fromEntries(
          used.map((name) => [name, scale(rec, plus(rec, plus(rec, parts[name], x!), parts[name]), 1)]),
        );
      },
      seeds: Object.fromEntries(used.map((name, i) => [name, floats(1 + i, -2, 3 * i + 0.5)])),
    });
  for (const used of [
    ["y"],
    ["inner"],
    ["other"],
    ["y", "inner"],
    ["inner", "other"],
    ["y", "inner", "other"],
  ] as const) {
    const [plain, again] = [await run(false, used), await run(true, used)];
    expect(plain.gradients.x!.every((d) => d !== 0)).toBe(true);
    expect(again).toEqual(plain);
  }
  // (2 * 5 + 1) x, with a gradient of 1; z is not reached.
  expect((await run(true, ["y"])).gradients.x![0]).toBe(11);
});

test("a parameter's gradient adds up over the micro-batches of a step, and frozen ones have none", async () => {
  const weight = new Parameter(gpu, "w", [3]);
  const frozen = new Parameter(gpu, "f", [3], "f32", false);
  weight.write(floats(1, 2, 3));
  frozen.write(floats(5, 5, 5));
  const rec = new Recorder(profileOf(gpu));
  const w = rec.parameter(weight);
  const y = plus(rec, plus(rec, w, w), rec.parameter(frozen));
  rec.backward([[y, rec.input("dy", [3])]]);
  const program = await Program.compile(gpu, rec);
  program.write("dy", floats(1, 10, 100));
  program.run({ accumulate: 0 });
  expect([...(await gpu.readFloats(weight.gradient, 3))]).toEqual([2, 20, 200]);
  program.write("dy", floats(1, 1, 1));
  program.run({ accumulate: 1 });
  expect([...(await gpu.readFloats(weight.gradient, 3))]).toEqual([4, 22, 202]);
  program.run({ accumulate: 0 });
  expect([...(await gpu.readFloats(weight.gradient, 3))]).toEqual([2, 2, 2]);
  expect(frozen.hasGradient).toBe(false);
  program.free();
  weight.free();
  frozen.free();
});

test("dynamic params change from run to run, and a missing one is named", async () => {
  const rec = new Recorder(profileOf(gpu));
  const x = rec.input("x", [1]);
  const y = rec.scratch([1], "y");
  rec.step({ kernel: "recorder/add-into", bind: { x, y }, params: { n: 1, accumulate: 0 }, groups: [1] });
  rec.step({ kernel: "recorder/add-into", bind: { x, y }, params: { n: dynamic("n"), accumulate: 1 }, groups: [1] });
  rec.output("y", y);
  const program = await Program.compile(gpu, rec);
  program.write("x", floats(7));
  program.run({ n: 1 });
  expect(await program.read("y")).toEqual(floats(14));
  program.run({ n: 0 });
  expect(await program.read("y")).toEqual(floats(7));
  expect(() => program.run()).toThrow("the program needs a value for n");
  expect(() => program.write("x", floats(1, 2))).toThrow("input x takes 1 values, got 2");
  program.free();
});

test("steps whose results nobody needs are left out", async () => {
  const rec = new Recorder(profileOf(gpu));
  const x = rec.input("x", [4]);
  plus(rec, x, x);
  const y = plus(rec, x, x);
  rec.output("y", y);
  const program = await Program.compile(gpu, rec);
  expect(program.steps.length).toBe(2);
  expect(rec.steps.length).toBe(4);
  program.free();
});

test("a tensor that stands in for a weight takes its gradient, and the weight none", async () => {
  const weight = new Parameter(gpu, "weight", [3]);
  weight.write(floats(5, 5, 5));
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [3], data: floats(1, 2, 3), grad: true } },
    build: (rec, { x }) => {
      const own = rec.standingIn(new Map([[weight, scale(rec, x!, 2)]]), () => scale(rec, rec.parameter(weight), 10));
      return { own, before: scale(rec, rec.parameter(weight), 1) };
    },
    seeds: { own: floats(1, 0, -1) },
  });
  expect([...outputs.own!]).toEqual([20, 40, 60]);
  expect([...outputs.before!]).toEqual([5, 5, 5]);
  expect([...gradients.x!]).toEqual([20, 0, -20]);
  expect(weight.hasGradient).toBe(false);
  weight.free();
});
