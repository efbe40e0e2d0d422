import { describe, expect, test } from "bun:test";
import { type Along, UnitScales } from "../../../../src/run/training/rules/unit-scales.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

covers("training/scale-units");

const gpu = await sharedGpu();
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const FACTORS = [0, 1, 0.5, 0.3, 2];

/** Weights, gradients and scales, and what each value's scale is. */
function world(along: Along, shapes: readonly (readonly number[])[] = [[7], [5, 3], [33, 65], [2, 3, 5]]) {
  return shapes.map((shape, p) => {
    const parameter = new Parameter(gpu, `w${p}`, shape);
    const { size } = parameter;
    const columns = shape.length < 2 ? 1 : shape.at(-1)!;
    const count = { row: size / columns, column: columns, value: size }[along];
    const factors = Float32Array.from({ length: count }, (_, i) => FACTORS[(i + p) % FACTORS.length]!);
    const unit = {
      row: (i: number) => Math.floor(i / columns),
      column: (i: number) => i % columns,
      value: (i: number) => i,
    };
    const [from, to, gradient] = [normals(p, size), normals(p + 20, size), normals(p + 40, size)];
    parameter.write(from);
    gpu.write(parameter.gradient, 0, bytesOf(gradient));
    return { parameter, along, factors, from, to, gradient, factorOf: (i: number) => factors[unit[along](i)]! };
  });
}

describe("UnitScales", () => {
  for (const along of ["row", "column", "value"] as const) {
    test(`scales the step of every ${along}; scale 1 moves and scale 0 stays to the bit`, async () => {
      const all = world(along);
      const rule = new UnitScales(gpu, all, { name: "scales", apply: "update", seed: 1 });
      await rule.before();
      for (const { parameter, to } of all) parameter.write(to);
      await rule.after(1);
      for (const { parameter, from, to, gradient, factorOf } of all) {
        for (const [i, w] of (await gpu.readFloats(parameter.buffer, parameter.size)).entries()) {
          const factor = factorOf(i);
          if (factor === 0) expect(w).toBe(from[i]!);
          else if (factor === 1) expect(w).toBe(to[i]!);
          else expect(Math.abs(w - (from[i]! + factor * (to[i]! - from[i]!)))).toBeLessThan(1e-6);
        }
        expect(await gpu.readFloats(parameter.gradient, parameter.size)).toEqual(gradient);
      }
      rule.free();
    });

    test(`scales the gradient of every ${along}, and no weight`, async () => {
      const all = world(along);
      const rule = new UnitScales(gpu, all, { name: "scales", apply: "grad", seed: 1 });
      await rule.before();
      await rule.after(1);
      for (const { parameter, from, gradient, factorOf } of all) {
        const found = await gpu.readFloats(parameter.gradient, parameter.size);
        for (const [i, g] of found.entries()) expect(g === Math.fround(factorOf(i) * gradient[i]!)).toBe(true);
        expect(await gpu.readFloats(parameter.buffer, parameter.size)).toEqual(from);
      }
      rule.free();
    });
  }

  test("a step of half a unit of bf16 is not lost: it is rounded up half of the time, by seed and step", async () => {
    const size = 4096;
    const parameter = new Parameter(gpu, "w", [size], "bf16");
    const rule = (seed: number) =>
      new UnitScales(gpu, [{ parameter, along: "row", factors: new Float32Array(size).fill(0.5) }], {
        ...{ name: "scales", apply: "update", seed },
      });
    const [one, next] = [new Uint16Array(size).fill(0x3f80), new Uint16Array(size).fill(0x3f81)];
    const run = async (seed: number) => {
      const scales = rule(seed);
      parameter.write(one);
      await scales.before();
      parameter.write(next);
      await scales.after(3);
      const words = await gpu.readWords(parameter.buffer, size / 2);
      scales.free();
      return new Uint16Array(words.buffer, words.byteOffset, size);
    };
    const found = await run(1);
    const up = found.filter((word) => word === 0x3f81).length;
    expect(found.every((word) => word === 0x3f80 || word === 0x3f81)).toBe(true);
    expect(Math.abs(up / size - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / size));
    expect(await run(1)).toEqual(found);
    expect(await run(2)).not.toEqual(found);
    parameter.free();
  });
});
