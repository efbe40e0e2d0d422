/** Sophia: its rule against float64 over 20 steps, and the estimate of curvature that it goes by. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Curvature } from "../../../src/run/training/curvature.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { method as sophia } from "../../../src/train/methods/optimizers/sophia.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { DECAY, LR } from "./optimizer-harness.ts";

const gpu = await sharedGpu();

test("20 steps under given curvatures agree with float64: Newton's where steep, signs where flat or falling", async () => {
  const n = 77;
  const parameter = new Parameter(gpu, "w", [7, 11]);
  parameter.write(normals(1, n));
  const h = normals(2, n).map((x) => 300 * x);
  const optimizer = bindDefaults(sophia as unknown as Optimizer);
  const updater = await Updater.make(gpu, [parameter], { optimizer, decays: () => true, clip: 0 });
  gpu.write(updater.curvature!.held.get(parameter)!, 0, new Uint8Array(h.buffer));
  const [w, m] = [Float64Array.from(normals(1, n)), new Float64Array(n)];
  let clipped = 0;
  for (let t = 1; t <= 20; t++) {
    const g = normals(10 + t, n);
    gpu.write(parameter.gradient, 0, new Uint8Array(g.buffer));
    await updater.step(t, LR, 0);
    for (let i = 0; i < n; i++) {
      m[i] = 0.96 * m[i]! + 0.04 * g[i]!;
      const step = m[i]! / Math.max(0.01 * h[i]!, 1e-12);
      if (Math.abs(step) > 1) clipped++;
      w[i] = w[i]! * (1 - LR * DECAY) - LR * Math.min(1, Math.max(-1, step));
    }
  }
  const found = await gpu.readFloats(parameter.buffer, n);
  expect(found.every((x, i) => Math.abs(x - w[i]!) < 2e-5)).toBe(true);
  expect(clipped).toBeGreaterThan(200);
  expect(clipped).toBeLessThan(20 * n - 200);
  expect(await gpu.readFloats(updater.curvature!.held.get(parameter)!, n)).toEqual(h);
  updater.free();
  parameter.free();
});

test("of a quadratic loss an estimate is u * H u, its mean over draws the diagonal, and the weights stay", async () => {
  const n = 6;
  const parameter = new Parameter(gpu, "w", [n]);
  const held = gpu.upload(new Float32Array(n), "curvature");
  const start = normals(3, n);
  parameter.write(start);
  const half = normals(4, n * n);
  // H = A + A^T, some of whose diagonal is negative.
  const hessian = Float64Array.from(half, (x, at) => x + half[(at % n) * n + Math.floor(at / n)]!);
  const [distance, keep] = [1e-2, 0.9];
  const curvature = await Curvature.make(gpu, { held: new Map([[parameter, held.buffer]]), distance, keep, every: 3 });
  expect([1, 2, 3, 4].map((step) => curvature.isDue(step))).toEqual([true, false, false, true]);
  const means = new Float64Array(n);
  const draws = 300;
  let before: Float32Array = new Float32Array(n);
  for (let seed = 0; seed < draws; seed++) {
    const moved: Float32Array[] = [];
    await curvature.measure(seed, async () => {
      const w = await gpu.readFloats(parameter.buffer, n);
      moved.push(w);
      const g = Float32Array.from(w, (_, i) => w.reduce((sum, x, j) => sum + hessian[i * n + j]! * x, 0));
      gpu.write(parameter.gradient, 0, new Uint8Array(g.buffer));
    });
    const u = Float64Array.from(moved[0]!, (x, i) => (x - start[i]!) / distance);
    const after = await gpu.readFloats(held.buffer, n);
    for (let i = 0; i < n; i++) {
      const along = u[i]! * u.reduce((sum, x, j) => sum + hessian[i * n + j]! * x, 0);
      if (seed < 5) expect(Math.abs(after[i]! - (keep * before[i]! + (1 - keep) * along))).toBeLessThan(3e-3);
      means[i]! += (after[i]! - keep * before[i]!) / (1 - keep) / draws;
    }
    before = after;
  }
  expect(await gpu.readFloats(parameter.buffer, n)).toEqual(start);
  for (let i = 0; i < n; i++) {
    // The deviation of u_i (H u)_i is at most that of 2 H_ii^2 and the other entries of its row.
    const row = hessian.subarray(i * n, i * n + n);
    const deviation = Math.sqrt(row.reduce((sum, x, j) => sum + (j === i ? 2 : 1) * x * x, 0) / draws);
    expect(Math.abs(means[i]! - hessian[i * n + i]!)).toBeLessThan(4 * deviation);
  }
  curvature.free();
  held.free();
  parameter.free();
});
