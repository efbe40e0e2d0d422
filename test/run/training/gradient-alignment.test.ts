import { describe, expect, test } from "bun:test";
import { GradientAlignment } from "../../../src/run/training/gradient-alignment.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const SIZES = [1, 3, 255, 257, 5000];

const inner = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]) =>
  a.reduce((sum, x, p) => sum + Array.from(x).reduce((s, v, i) => s + v * b[p]![i]!, 0), 0);

/** Keeps some gradients and adds others to them; gives what is there afterwards. */
async function aligned(kept: readonly Float32Array[], other: readonly Float32Array[]): Promise<Float32Array[]> {
  const parameters = kept.map(({ length }, i) => new Parameter(gpu, `w${i}`, [length]));
  const alignment = new GradientAlignment(gpu, parameters);
  const write = (gradients: readonly Float32Array[]) => {
    for (const [p, { buffer, byteOffset, byteLength }] of gradients.entries())
      gpu.write(parameters[p]!.gradient, 0, new Uint8Array(buffer, byteOffset, byteLength));
  };
  const found: Float32Array[] = [];
  // Twice, for what the first time left behind.
  for (let round = 0; round < 2; round++) {
    write(kept);
    alignment.keep();
    write(other);
    await alignment.add();
  }
  for (const { gradient, size } of parameters) found.push(await gpu.readFloats(gradient, size));
  await alignment.free();
  for (const parameter of parameters) parameter.free();
  return found;
}

const check = (found: readonly Float32Array[], expected: readonly number[][]) => {
  const most = Math.max(...expected.flat().map(Math.abs));
  for (const [p, values] of expected.entries())
    for (const [i, value] of values.entries())
      expect(Math.abs(found[p]![i]! - value)).toBeLessThan(2e-6 * Math.max(1, most));
};

describe("GradientAlignment", () => {
  const kept = SIZES.map((size, i) => normals(i + 1, size));
  const noise = SIZES.map((size, i) => normals(i + 50, size, 2));

  test("adds a gradient that agrees as it is", async () => {
    const agreeing = noise.map((x, p) => x.map((v, i) => v + kept[p]![i]!));
    expect(inner(agreeing, kept)).toBeGreaterThan(0);
    check(
      await aligned(kept, agreeing),
      agreeing.map((x, p) => Array.from(x, (v, i) => v + kept[p]![i]!)),
    );
  });

  test("takes away what goes against, over all parameters together, and leaves the rest", async () => {
    const against = noise.map((x, p) => x.map((v, i) => v - kept[p]![i]!));
    const ratio = inner(against, kept) / inner(kept, kept);
    expect(ratio).toBeLessThan(-0.5);
    const found = await aligned(kept, against);
    check(
      found,
      against.map((x, p) => Array.from(x, (v, i) => v + (1 - ratio) * kept[p]![i]!)),
    );
    const added = found.map((x, p) => x.map((v, i) => v - kept[p]![i]!));
    expect(Math.abs(inner(added, kept)) / inner(kept, kept)).toBeLessThan(1e-5);
  });

  test("of its opposite leaves what was kept; nothing kept takes nothing away", async () => {
    check(
      await aligned(
        kept,
        kept.map((x) => x.map((v) => -3 * v)),
      ),
      kept.map((x) => [...x]),
    );
    check(
      await aligned(
        kept.map((x) => x.map(() => 0)),
        noise,
      ),
      noise.map((x) => [...x]),
    );
  });
});
