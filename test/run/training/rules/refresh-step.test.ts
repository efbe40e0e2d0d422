import { describe, expect, test } from "bun:test";
import { RefreshStep } from "../../../../src/run/training/rules/refresh-step.ts";
import { RowOrthogonality } from "../../../../src/run/training/rules/row-orthogonality.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const SHAPES = [[1], [7, 3], [20, 30]];
const length = (x: Float32Array) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));

function world() {
  return SHAPES.map((shape, i) => {
    const parameter = new Parameter(gpu, `w${i}`, shape);
    const { size } = parameter;
    const [weight, gradient, importance] = [normals(i, size), normals(10 + i, size, 5), normals(20 + i, size, 900)];
    parameter.write(weight);
    gpu.write(parameter.gradient, 0, bytesOf(gradient));
    const F = importance.map((x) => x * x);
    return { parameter, weight, gradient, F, held: gpu.upload(F.length < 4 ? Float32Array.of(...F, 0, 0, 0) : F, "F") };
  });
}

describe("RefreshStep", () => {
  for (const weighed of [false, true])
    test(`moves each tensor uphill by a share of its length${weighed ? ", less where weights matter" : ""}`, async () => {
      const all = world();
      const of = new Map(all.map(({ parameter, held }) => [parameter, held.buffer]));
      const parameters = all.map(({ parameter }) => parameter);
      const importances = weighed ? (parameter: Parameter) => of.get(parameter)! : undefined;
      const rule = new RefreshStep(gpu, parameters, { delta: 0.1, noise: 0, seed: 3, part: "new", importances });
      const passes: string[] = [];
      await rule.part(1, async ({ fresh, report }) => void passes.push(`${fresh} ${report}`));
      expect(passes).toEqual(["true false", "true true"]);
      for (const { parameter, weight, gradient, F } of all) {
        const share = (0.1 * length(weight)) / length(gradient);
        for (const [i, w] of (await gpu.readFloats(parameter.buffer, parameter.size)).entries()) {
          const move = (share * gradient[i]!) / (weighed ? 1 + 0.001 * F[i]! : 1);
          expect(Math.abs(w - (weight[i]! + move))).toBeLessThan(1e-6 * (1 + Math.abs(w)));
        }
      }
      rule.free();
    });

  test("noise is drawn by seed and step", async () => {
    const moved = async (seed: number, step: number) => {
      const all = world();
      const parameters = all.map(({ parameter }) => parameter);
      const rule = new RefreshStep(gpu, parameters, { delta: 1, noise: 0.5, seed, part: "new" });
      for (const { parameter } of all) gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
      await rule.move(step);
      const { parameter, weight } = all[2]!;
      const found = await gpu.readFloats(parameter.buffer, parameter.size);
      rule.free();
      return found.map((w, i) => w - weight[i]!);
    };
    const noise = await moved(1, 1);
    expect(Math.abs(length(noise) / Math.sqrt(noise.length) / 0.5 - 1)).toBeLessThan(0.15);
    expect(await moved(1, 1)).toEqual(noise);
    expect(await moved(1, 2)).not.toEqual(noise);
    expect(await moved(2, 1)).not.toEqual(noise);
  });
});

test("RowOrthogonality adds 2 lambda A_new A_old' A_old to the gradient of the new rows alone", async () => {
  const [rows, columns] = [6, 11];
  const a = new Parameter(gpu, "a", [rows, columns]);
  const [values, gradient] = [normals(1, rows * columns), normals(2, rows * columns)];
  a.write(values);
  gpu.write(a.gradient, 0, bytesOf(gradient));
  const rule = new RowOrthogonality(gpu, [a], { first: 2, end: 4 }, 0.3);
  await rule.before();
  const at = (row: number, column: number) => values[row * columns + column]!;
  for (const [i, g] of (await gpu.readFloats(a.gradient, a.size)).entries()) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let pull = 0;
    if (row === 2 || row === 3)
      for (const old of [0, 1]) {
        let product = 0;
        for (let k = 0; k < columns; k++) product += at(row, k) * at(old, k);
        pull += 2 * 0.3 * product * at(old, column);
      }
    if (pull === 0) expect(g).toBe(gradient[i]!);
    expect(Math.abs(g - gradient[i]! - pull)).toBeLessThan(1e-5);
  }
  rule.free();
});
