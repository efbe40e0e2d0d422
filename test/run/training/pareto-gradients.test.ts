import { expect, test } from "bun:test";
import { ParetoGradients } from "../../../src/run/training/pareto-gradients.ts";
import { paretoGradient } from "../../../src/run/training/pareto-weights.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const SIZES = [1, 3, 257, 5000];

/** What the rule leaves of two gradients over all parameters. */
async function combined(first: Float32Array, second: Float32Array): Promise<Float64Array> {
  const parameters = SIZES.map((size, i) => new Parameter(gpu, `w${i}`, [size]));
  const rule = new ParetoGradients(gpu, parameters);
  const starts = SIZES.map((_, i) => SIZES.slice(0, i).reduce((a, b) => a + b, 0));
  const pass = async (part: string) => {
    const all = part === "first" ? first : second;
    for (const [i, { gradient, size }] of parameters.entries())
      gpu.write(gradient, 0, new Uint8Array(all.slice(starts[i]!, starts[i]! + size).buffer));
  };
  // Twice, for what the first time left behind.
  for (let step = 0; step < 2; step++) await rule.combine(step, ["first", "second"], pass);
  const found = await Promise.all(parameters.map(({ gradient, size }) => gpu.readFloats(gradient, size)));
  rule.free();
  for (const parameter of parameters) parameter.free();
  return Float64Array.from(found.flatMap((part) => [...part]));
}

const COUNT = SIZES.reduce((a, b) => a + b, 0);
const g = normals(1, COUNT);
const h = normals(2, COUNT, 0.5);
const mixed = (a: number, b: number) => g.map((value, i) => a * value + b * h[i]!);

test.each([
  ["that agree, the first longer", mixed(2, 0), mixed(1, 1)],
  ["that agree, the second longer", mixed(0.2, 0), mixed(1, 1)],
  ["that conflict, the first longer", mixed(2, 0), mixed(-1, 1)],
  ["that conflict, the second longer", mixed(0.2, 0), mixed(-1, 1)],
  ["a hundred times apart", mixed(100, 0), mixed(-0.5, 1)],
  ["of which one is nothing", mixed(0, 0), mixed(1, 1)],
])("two gradients %s are weighed as the linear program says", async (_, first, second) => {
  const { gradient } = paretoGradient([Float64Array.from(first), Float64Array.from(second)]);
  const found = await combined(first, second);
  const most = gradient.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  for (const [i, value] of gradient.entries()) expect(Math.abs(found[i]! - value)).toBeLessThan(1e-4 * most);
  // Neither objective goes up.
  for (const own of [first, second]) {
    const along = own.reduce((sum, value, i) => sum + value * found[i]!, 0);
    const size = Math.hypot(...own) * Math.hypot(...found);
    expect(along).toBeGreaterThan(-1e-5 * size - 1e-12);
  }
});

test("other than two parts are refused", async () => {
  const rule = new ParetoGradients(gpu, [new Parameter(gpu, "w", [1])]);
  await expect(rule.combine(1, ["a"], async () => {})).rejects.toThrow("pareto weighs two parts, not a");
  rule.free();
});
