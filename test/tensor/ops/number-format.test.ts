/** Formats on the GPU beside those on the host; gradients straight through, rounded, and of steps that are learnt. */
import { expect, test } from "bun:test";
import { roundRows } from "../../../src/checkpoint/numbers/quantize-rows.ts";
import { keyedNormals } from "../../../src/keyed-random.ts";
import { loadMethod, loadMethods } from "../../../src/method/registry.ts";
import { firstSteps, gradientInFormat, inFormat, learnedSteps } from "../../../src/tensor/ops/number-format.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("number-format/largest");
covers("number-format/scales-of");
covers("number-format/in-format");
covers("number-format/learned-steps");
covers("number-format/learned-steps-gradient");

const gpu = await sharedGpu();
const formats = (await loadMethods("number-format")).filter(({ name }) => name !== "nf4");

/** Normal values of rows of very different sizes, and one row of zeros. */
const spread = (rows: number, columns: number, name: string) =>
  keyedNormals(rows * columns, 1, 3, name).map((x, k) => x * [1, 1e-3, 300, 0][Math.floor(k / columns) % 4]!);

for (const format of formats) {
  test(`${format.name} is that of the host`, async () => {
    for (const [rows, columns] of [
      [5, 37],
      [9, 130],
    ] as const) {
      const x = spread(rows, columns, format.name);
      const { outputs, gradients } = await runOp(gpu, {
        inputs: { x: { shape: [rows, columns], data: x, grad: true } },
        build: (rec, { x }) => inFormat(rec, x!, format),
        seeds: { y: x },
      });
      const expected = roundRows(x, rows, columns, format);
      // A quotient may fall to the other side of a tie: no more than a few values differ, and by a step at most.
      const odd = expected.filter((value, k) => Math.abs(value - outputs.y![k]!) > 1e-6 * Math.abs(value));
      expect([odd.length <= 2, expected.some((value) => value !== 0)]).toEqual([true, true]);
      expect(gradients.x).toEqual(x);
    }
  });
}

test("f16 and bf16 have infinities, and what is no number stays so", async () => {
  const run = async (name: string, factor: number) => {
    const format = await loadMethod("number-format", name);
    const data = Float32Array.of(65504, 65519, 65520, -1e6, 3e-8, 1e-9, Number.NaN, Number.POSITIVE_INFINITY);
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [2, 4], data }, factor: { shape: [1], data: Float32Array.of(factor) } },
      build: (rec, { x, factor }) => inFormat(rec, x!, format, { factor }),
      training: false,
    });
    return [...outputs.y!];
  };
  const over = Number.POSITIVE_INFINITY;
  expect(await run("f16", 1)).toEqual([65504, 65504, over, -over, 2 ** -25 * 2, 0, Number.NaN, over]);
  expect(await run("f16", 2)).toEqual([over, over, over, -over, 2 ** -25, 0, Number.NaN, over]);
  expect((await run("bf16", 1)).slice(0, 3)).toEqual([65536, 65536, 65536]);
});

test("drawn, values are right on average, and follow key and seed", async () => {
  const format = await loadMethod("number-format", "fp8-e5m2");
  const data = new Float32Array(40_000).fill(1.1);
  for (let k = 0; k < data.length; k += 200) data[k] = 57344 * 2 ** -14;
  const run = async (key: string, seed: number) => {
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [200, 200], data } },
      build: (rec, { x }) => inFormat(rec, x!, format, { key }),
      values: { seed },
      training: false,
    });
    return outputs.y!.filter((_, k) => k % 200 !== 0);
  };
  const [one, again, other] = [await run("a", 1), await run("a", 1), await run("b", 1)];
  expect(again).toEqual(one);
  expect(other).not.toEqual(one);
  expect([...new Set(one)].sort()).toEqual([1, 1.25]);
  const mean = one.reduce((sum, value) => sum + value, 0) / one.length;
  expect(Math.abs(mean - 1.1)).toBeLessThan(3 * 0.25 * Math.sqrt(0.24 / one.length));
});

test("a gradient is rounded on the way back, times its factor, and the value is not", async () => {
  const format = await loadMethod("number-format", "f16");
  const [x, dy] = [spread(3, 7, "x"), Float32Array.from({ length: 21 }, (_, k) => 1e-6 * Math.sin(k))];
  const run = (factor: number) =>
    runOp(gpu, {
      inputs: { x: { shape: [3, 7], data: x, grad: true }, by: { shape: [1], data: Float32Array.of(factor) } },
      build: (rec, { x, by }) => gradientInFormat(rec, x!, format, { factor: by! }),
      seeds: { y: dy },
    });
  const { outputs, gradients } = await run(1024);
  expect(outputs.y).toEqual(x);
  const rounded = (factor: number) =>
    roundRows(
      dy.map((value) => value * factor),
      3,
      7,
      format,
    ).map((value) => value / factor);
  expect(gradients.x).toEqual(rounded(1024));
  const plain = await run(1);
  expect(plain.gradients.x).toEqual(rounded(1));
  const error = (found: Float32Array) => found.reduce((sum, value, k) => sum + (value - dy[k]!) ** 2, 0);
  expect(error(gradients.x!)).toBeLessThan(1e-3 * error(plain.gradients.x!));
});

test("learned steps: values, and gradients by the formula", async () => {
  const [rows, columns, most] = [5, 37, 7];
  const w = keyedNormals(rows * columns, 1, 4, "weights");
  const steps = firstSteps(w, rows, most).map((step, row) => (row === 1 ? step / 4 : step));
  const dy = keyedNormals(rows * columns, 1, 4, "gradient");
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { w: { shape: [rows, columns], data: w, grad: true }, s: { shape: [rows], data: steps, grad: true } },
    build: (rec, { w, s }) => learnedSteps(rec, w!, { steps: s!, most }),
    seeds: { y: dy },
  });
  const nearest = (v: number) => {
    const low = Math.floor(v);
    const half = v - low;
    return half > 0.5 || (half === 0.5 && low % 2 !== 0) ? low + 1 : low;
  };
  const factor = 1 / Math.sqrt(columns * most);
  const ds = new Float64Array(rows);
  let past = 0;
  for (const [k, value] of w.entries()) {
    const row = Math.floor(k / columns);
    const v = value / steps[row]!;
    const inside = Math.abs(v) <= most;
    if (!inside) past++;
    const code = Math.max(-most, Math.min(most, nearest(v)));
    expect(Math.abs(outputs.y![k]! - code * steps[row]!)).toBeLessThan(1e-5);
    expect(gradients.w![k]).toBe(inside ? dy[k]! : 0);
    ds[row]! += factor * dy[k]! * (inside ? nearest(v) - v : Math.sign(v) * most);
  }
  expect(past).toBeGreaterThan(3);
  for (const row of ds.keys())
    expect(Math.abs(gradients.s![row]! - ds[row]!)).toBeLessThan(1e-4 * (1 + Math.abs(ds[row]!)));
  // Past the range the value is most s, whose gradient is exact.
  const at = w.findIndex((value, k) => Math.abs(value / steps[Math.floor(k / columns)]!) > most);
  expect(Math.abs(outputs.y![at]!)).toBeCloseTo(most * steps[Math.floor(at / columns)]!, 5);
});

test("what is no arithmetic is refused", async () => {
  const nf4 = await loadMethod("number-format", "nf4");
  const run = runOp(gpu, {
    inputs: { x: { shape: [1, 4], data: new Float32Array(4) } },
    build: (rec, { x }) => inFormat(rec, x!, nf4),
  });
  expect(run).rejects.toThrow("nf4 stores numbers and computes with none");
});
