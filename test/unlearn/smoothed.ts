/**
 * Smoothings on a loss whose gradient is known in float64: sum of a_i w_i^2 + b (w_0 w_1)^2 + sin w over weights in two
 * parameters.
 */
import { bindDefaults } from "../../src/method/bind.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Smoothing } from "../../src/unlearn/smoothing.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();
export const START = [0.3, -0.8, 1.1, 0.45, -1.4];
const SIZES = [3, 2];

/** Gradient and, with it, the loss's Hessian times a vector by differences. */
export const gradient = (w: readonly number[]) =>
  w.map((x, i) => (i + 1) * 0.7 * x + Math.cos(x) + (i < 2 ? 2 * w[0]! * w[1]! * w[1 - i]! : 0));
export const norm = (x: readonly number[]) => Math.hypot(...x);
export const walk = (w: readonly number[], d: readonly number[], distance: number) =>
  w.map((x, i) => x + (distance * d[i]!) / norm(d));
export const minus = (a: readonly number[], b: readonly number[]) => a.map((x, i) => x - b[i]!);

/** What a smoothing leaves in gradients and weights, where it went forward and back, and how many passes report. */
export async function smoothed(smoothing: Smoothing, given: Readonly<Record<string, number>>, seed = 1) {
  const parameters = SIZES.map((size, i) => new Parameter(gpu, `w${i}`, [size]));
  const all = async (buffer: (p: Parameter) => GPUBuffer) =>
    (await Promise.all(parameters.map((p) => gpu.readFloats(buffer(p), p.size)))).flatMap((x) => [...x]);
  parameters[0]!.write(Float32Array.from(START.slice(0, 3)));
  parameters[1]!.write(Float32Array.from(START.slice(3)));
  const rule = smoothing.rule({ gpu, parameters, values: bindDefaults(smoothing, given).values, seed, steps: 9 });
  const places: number[][] = [];
  let reports = 0;
  await rule.part!(
    0,
    async ({ fresh, report }) => {
      const w = await all((p) => p.buffer);
      places.push(w);
      if (report) reports++;
      const before = fresh ? w.map(() => 0) : await all((p) => p.gradient);
      const g = gradient(w).map((x, i) => x + before[i]!);
      gpu.write(parameters[0]!.gradient, 0, new Uint8Array(Float32Array.from(g.slice(0, 3)).buffer));
      gpu.write(parameters[1]!.gradient, 0, new Uint8Array(Float32Array.from(g.slice(3)).buffer));
    },
    "forget",
  );
  const result = await all((p) => p.gradient);
  const after = await all((p) => p.buffer);
  rule.free?.();
  for (const parameter of parameters) parameter.free();
  return { result, places, after, reports };
}
