import { describe, expect, test } from "bun:test";
import { DynamicAverage } from "../../../../src/run/training/rules/moving-average.ts";
import type { UpdateRule } from "../../../../src/run/training/update-rule.ts";
import { WeightAverage } from "../../../../src/run/training/weight-average.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

covers("training/dema-sums");
covers("training/dema-step");

const gpu = await sharedGpu();
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const SHAPES = [[5], [3, 7], [130, 260]]; // the last takes three workgroups

/** Weights and gradients at each of some steps; step 0 is the start. `size`: of gradients. */
const walk = (steps: number, size: number) =>
  Array.from({ length: steps + 1 }, (_, t) =>
    SHAPES.map((shape, p) => {
      const n = shape.reduce((a, b) => a * b, 1);
      return { weight: normals(10 * t + p, n), gradient: normals(500 + 10 * t + p, n, size) };
    }),
  );
type Walk = ReturnType<typeof walk>;

function parametersAt([start]: Walk): Parameter[] {
  return SHAPES.map((shape, p) => {
    const parameter = new Parameter(gpu, `w${p}`, shape);
    parameter.write(start![p]!.weight);
    return parameter;
  });
}

function put(parameters: readonly Parameter[], at: Walk[number]): void {
  for (const [p, parameter] of parameters.entries()) {
    parameter.write(at[p]!.weight);
    gpu.write(parameter.gradient, 0, bytesOf(at[p]!.gradient));
  }
}

async function follow(rule: UpdateRule, parameters: readonly Parameter[], walk: Walk, from = 1): Promise<void> {
  for (const [i, at] of walk.slice(from).entries()) {
    await rule.before!(from + i);
    put(parameters, at);
    await rule.after!(from + i);
  }
}
const read = (parameters: readonly Parameter[]) =>
  Promise.all(parameters.map(({ buffer, size }) => gpu.readFloats(buffer, size)));

/** DEMA in f64, and its alphas. */
function reference(walk: Walk) {
  const averages = walk[0]!.map(({ weight }) => Float64Array.from(weight));
  const alphas: number[][] = [];
  for (const [t, at] of walk.entries()) {
    if (t === 0) continue;
    alphas.push(
      at.map(({ weight, gradient }, p) => {
        const average = averages[p]!;
        const sum = (of: (i: number) => number) => average.reduce((all, _, i) => all + Math.abs(of(i)), 0);
        const a = sum((i) => weight[i]! - average[i]!);
        const b = sum((i) => gradient[i]!);
        const c = t === 1 ? Number.NaN : sum((i) => gradient[i]! - walk[t - 1]![p]!.gradient[i]!);
        const wanted = (2 * (1 + b)) / (a * c);
        const alpha = wanted > 0 && wanted < 1 ? wanted : 0.01;
        for (const i of average.keys()) average[i]! += alpha * (weight[i]! - average[i]!);
        return alpha;
      }),
    );
  }
  return { averages, alphas };
}

describe("moving averages", () => {
  for (const size of [1, 1e-9]) {
    test(`DEMA's alpha per weight and step, with gradients of about ${size}`, async () => {
      const steps = walk(4, size);
      const { averages, alphas } = reference(steps);
      const isOwn = (alpha: number) => alpha !== 0.01;
      // Small gradients have no curvature to speak of: only the fallback is left where a c is small.
      expect(alphas.slice(1).flat().some(isOwn)).toBe(size === 1);
      expect(alphas[0]!.some(isOwn)).toBe(false);
      const parameters = parametersAt(steps);
      const rule = new DynamicAverage(gpu, parameters);
      await follow(rule, parameters, steps);
      rule.end();
      for (const [p, found] of (await read(parameters)).entries())
        for (const [i, value] of found.entries()) expect(Math.abs(value - averages[p]![i]!)).toBeLessThan(2e-5);
      rule.free();
    });
  }

  test("of one share: 1 gives the last weights, 0 those at the start, another the closed form", async () => {
    const steps = walk(3, 1);
    for (const alpha of [0, 1, 0.25]) {
      const parameters = parametersAt(steps);
      const rule = new WeightAverage(gpu, parameters, { decay: 1 - alpha, fromStart: true });
      await follow(rule, parameters, steps);
      rule.end();
      for (const [p, found] of (await read(parameters)).entries()) {
        const at = (t: number, i: number) => steps[t]![p]!.weight[i]!;
        for (const [i, value] of found.entries()) {
          if (alpha === 1) expect(value).toBe(at(3, i));
          else if (alpha === 0) expect(value).toBe(at(0, i));
          else {
            const wanted = 0.75 ** 3 * at(0, i) + 0.25 * (0.75 ** 2 * at(1, i) + 0.75 * at(2, i) + at(3, i));
            expect(Math.abs(value - wanted)).toBeLessThan(1e-6);
          }
        }
      }
      rule.free();
    }
  });

  test("goes on from its state bit for bit", async () => {
    const steps = walk(4, 1);
    const parameters = parametersAt(steps);
    const whole = new DynamicAverage(gpu, parameters);
    await follow(whole, parameters, steps);
    const begun = new DynamicAverage(gpu, parameters);
    put(parameters, steps[0]!);
    await follow(begun, parameters, steps.slice(0, 3));
    const resumed = new DynamicAverage(gpu, parameters);
    resumed.load(begun.state());
    for (const [i, { buffer, size }] of begun.kept.entries()) gpu.copy(buffer, 0, resumed.kept[i]!.buffer, 0, 4 * size);
    await follow(resumed, parameters, steps, 3);
    expect(await read(resumed.kept)).toEqual(await read(whole.kept));
    for (const rule of [whole, begun, resumed]) rule.free();
  });
});
