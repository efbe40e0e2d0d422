import { describe, expect, test } from "bun:test";
import { encodeFloats } from "../../../../src/checkpoint/decode.ts";
import { Anchor } from "../../../../src/run/training/rules/anchor.ts";
import { QuadraticPenalty } from "../../../../src/run/training/rules/quadratic-penalty.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

covers("training/pull");

const gpu = await sharedGpu();
const SIZES = [1, 3, 255, 4097];
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const read = ({ gradient, size }: Parameter) => gpu.readFloats(gradient, size);

function world(dtype: "f32" | "bf16" = "f32") {
  const parameters = SIZES.map((size, i) => new Parameter(gpu, `w${i}`, [size], dtype));
  const write = (seed: number) =>
    parameters.map((parameter, i) => {
      const values = normals(10 * seed + i, parameter.size);
      if (dtype === "f32") parameter.write(values);
      else {
        const words = new Uint16Array(encodeFloats(values, "BF16").slice().buffer);
        parameter.write(words);
        for (const [k, word] of words.entries()) values[k] = new Float32Array(Uint32Array.of(word << 16).buffer)[0]!;
      }
      return values;
    });
  const gradients = parameters.map(({ gradient, size }, i) => {
    const values = normals(100 + i, size);
    gpu.write(gradient, 0, bytesOf(values));
    return values;
  });
  return { parameters, write, gradients };
}

/** A penalty with an anchor of its own. */
function penaltyOf(parameters: readonly Parameter[], weight: number, weighed: boolean) {
  const anchor = new Anchor(gpu, parameters, { weighed });
  const rule = new QuadraticPenalty(gpu, anchor, { weight, owned: true });
  return { anchor, before: () => rule.before(), free: () => rule.free() };
}

describe("QuadraticPenalty adds lambda F (theta - theta*) to the gradient", () => {
  for (const dtype of ["f32", "bf16"] as const)
    test(`with importances of its own, ${dtype}`, async () => {
      const { parameters, write, gradients } = world(dtype);
      const anchors = write(1);
      const rule = penaltyOf(parameters, 0.7, true);
      const importances = parameters.map(({ size }, i) => normals(50 + i, size).map((x) => x * x));
      for (const [i, parameter] of parameters.entries()) rule.anchor.set(parameter, 0, importances[i]!);
      const now = write(2);
      await rule.before();
      for (const [p, parameter] of parameters.entries())
        for (const [i, g] of (await read(parameter)).entries()) {
          const expected = gradients[p]![i]! + 0.7 * importances[p]![i]! * (now[p]![i]! - anchors[p]![i]!);
          expect(Math.abs(g - expected)).toBeLessThan(2e-6 * (1 + Math.abs(expected)));
        }
      rule.free();
    });

  test("importances of 1 are none: EWC with F = 1 is L2-SP to the bit", async () => {
    const found = [];
    for (const weighed of [true, false]) {
      const { parameters, write } = world();
      write(1);
      const rule = penaltyOf(parameters, 3, weighed);
      if (weighed) for (const p of parameters) rule.anchor.set(p, 0, new Float32Array(p.size).fill(1));
      write(2);
      await rule.before();
      found.push(await Promise.all(parameters.map(read)));
      rule.free();
    }
    expect(found[0]).toEqual(found[1]!);
  });

  test("nothing at the anchor, nothing with lambda 0, and from a new anchor on", async () => {
    const { parameters, write, gradients } = world();
    write(1);
    const rule = penaltyOf(parameters, 2, false);
    await rule.before();
    const off = penaltyOf(parameters, 0, false);
    write(2);
    await off.before();
    rule.anchor.take();
    await rule.before();
    for (const [p, parameter] of parameters.entries()) expect(await read(parameter)).toEqual(gradients[p]!);
    rule.free();
    off.free();
  });

  test("later importances are taken in: gamma F + F_new", async () => {
    const { parameters } = world();
    const rule = penaltyOf(parameters, 1, true);
    for (const p of parameters) rule.anchor.set(p, 0, new Float32Array(p.size).fill(2));
    const found = new Map(parameters.map((p) => [p, gpu.upload(new Float32Array(p.size + 3).fill(5), "found")]));
    await rule.anchor.add((parameter) => found.get(parameter)!.buffer, 0.9, 0.5);
    for (const held of rule.anchor.kept.filter(({ name }) => name.startsWith("importance")))
      for (const value of await gpu.readFloats(held.buffer, held.size)) expect(value).toBeCloseTo(0.9 * 2 + 0.5 * 5, 6);
    for (const held of found.values()) held.free();
    rule.free();
  });
});
