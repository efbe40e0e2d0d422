import { describe, expect, test } from "bun:test";
import { logSoftmax, softmax } from "../../../src/tensor/ops/softmax.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("softmax/forward", "softmax/gradient");

const gpu = await sharedGpu();
const SHAPES = [
  [1, 1],
  [3, 3],
  [2, 255],
  [67, 3],
  [2, 2, 257],
] as const; // prettier-ignore

/** In float64, rows of c at a temperature. */
function reference(x: Float64Array, c: number, temperature: number, logarithm: boolean): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += c) {
    const row = x.subarray(start, start + c).map((value) => value / temperature);
    const most = row.reduce((a, b) => Math.max(a, b));
    const level = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
    y.set(
      row.map((value) => (logarithm ? value - level : Math.exp(value - level))),
      start,
    );
  }
  return y;
}

describe.each([undefined, hardware])("profile %#", (profile) => {
  for (const logarithm of [false, true])
    test.each(SHAPES.map((shape) => [shape]))(`${logarithm ? "log-" : ""}softmax of %j`, async (shape) => {
      const n = shape.reduce<number>((a, b) => a * b, 1);
      for (const temperature of [1, 2.5])
        await checkOp(gpu, "softmax", {
          inputs: { x: { shape, data: normals(1, n, 2) } },
          build: (rec, { x }) => (logarithm ? logSoftmax : softmax)(rec, x!, temperature),
          reference: ({ x }) => reference(x!, shape.at(-1)!, temperature, logarithm),
          ...(profile ? { profile } : {}),
        });
    });

  test("large values do not overflow, small ones do not vanish from the logarithm", async () => {
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [1, 3], data: Float32Array.of(1e4, 1e4 - 200, -1e4) } },
      build: (rec, { x }) => ({ p: softmax(rec, x!), l: logSoftmax(rec, x!) }),
      ...(profile ? { profile } : {}),
    });
    expect([...outputs.p!]).toEqual([1, 0, 0]);
    expect([...outputs.l!]).toEqual([0, -200, -2e4]);
  });
});
