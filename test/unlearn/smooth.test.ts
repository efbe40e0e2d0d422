/**
 * Smoothings on a loss whose gradient is known in float64: sum of a_i w_i^2 + b (w_0 w_1)^2 + sin w over weights in two
 * parameters.
 */
import { describe, expect, test } from "bun:test";
import { WeightAverage } from "../../src/run/training/weight-average.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { method as cr } from "../../src/unlearn/methods/smoothings/cr.ts";
import { method as gp } from "../../src/unlearn/methods/smoothings/gp.ts";
import { method as rs } from "../../src/unlearn/methods/smoothings/rs.ts";
import { method as sam } from "../../src/unlearn/methods/smoothings/sam.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gradient, minus, norm, START, smoothed, walk } from "./smoothed.ts";

const gpu = await sharedGpu();

const near = (a: readonly number[], b: readonly number[], error: number) => {
  for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(error);
};
const g = gradient(START);

describe("the smoothed gradient", () => {
  test("sam: at theta + rho g / |g|", async () => {
    const { result, places } = await smoothed(sam, { rho: 0.1 });
    near(places[1]!, walk(START, g, 0.1), 1e-6);
    near(result, gradient(walk(START, g, 0.1)), 1e-5);
  });

  test("rs: the mean at three places that belong to the seed", async () => {
    const { result, places } = await smoothed(rs, { rho: 0.05 });
    expect(places.length).toBe(3);
    near(
      result,
      g.map((_, i) => places.reduce((sum, w) => sum + gradient(w)[i]! / 3, 0)),
      1e-5,
    );
    const distances = places.map((w) => norm(minus(w, START)));
    for (const d of distances) expect(d).toBeWithin(0.005, 0.3);
    expect(new Set(distances).size).toBe(3);
    expect((await smoothed(rs, { rho: 0.05 })).places).toEqual(places);
    expect((await smoothed(rs, { rho: 0.05 }, 2)).places).not.toEqual(places);
  });

  test("gp: g and c times the slope of |g|", async () => {
    const { result } = await smoothed(gp, { rho: 0.01, smooth_weight: 0.5 });
    const ahead = gradient(walk(START, g, 0.01));
    near(
      result,
      g.map((x, i) => x + (0.5 * (ahead[i]! - x)) / 0.01),
      1e-3,
    );
    const h = 1e-5;
    const slope = START.map((_, i) => {
      const at = (d: number) => norm(gradient(START.map((w, j) => (i === j ? w + d : w))));
      return (at(h) - at(-h)) / (2 * h);
    });
    near(
      result,
      g.map((x, i) => x + 0.5 * slope[i]!),
      0.03,
    );
  });

  test("cr: g and c times the slope of |g(theta + mu v) - g|, v held", async () => {
    const { result, places } = await smoothed(cr, { rho: 0.05, smooth_weight: 50 });
    expect(places.length).toBe(4);
    const d = (w: readonly number[]) => minus(gradient(w.map((x, i) => x + (0.05 * g[i]!) / norm(g))), gradient(w));
    const h = 1e-5;
    const slope = START.map((_, i) => {
      const at = (step: number) => norm(d(START.map((w, j) => (i === j ? w + step : w))));
      return (at(h) - at(-h)) / (2 * h);
    });
    near(
      result,
      g.map((x, i) => x + 50 * slope[i]!),
      0.1 * 50 * norm(slope),
    );
    expect(50 * norm(slope)).toBeGreaterThan(0.5);
  });
});

test("the mean of weights", async () => {
  const parameter = new Parameter(gpu, "w", [3]);
  const mean = new WeightAverage(gpu, [parameter]);
  mean.end(); // of nothing
  for (const k of [1, 2, 6]) {
    parameter.write(Float32Array.of(k, -k, 0.5));
    await mean.add();
  }
  mean.end();
  near([...(await gpu.readFloats(parameter.buffer, 3))], [3, -3, 0.5], 1e-6);
  expect(mean.state()).toEqual({ count: 3 });
  mean.free();
  expect(() => new WeightAverage(gpu, [new Parameter(gpu, "w", [4], "bf16")])).toThrow(
    "w is held in bf16; weights that are averaged must be f32",
  );
});
