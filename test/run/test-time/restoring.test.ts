/** Weights that go back to the source. */
import { expect, test } from "bun:test";
import { gradientQuantile, Restoring } from "../../../src/run/test-time/restoring.ts";
import { WeightCopies } from "../../../src/run/test-time/weight-copies.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const N = 513;
const home = normals(1, N);
const moved = normals(2, N);

function weights() {
  const weight = new Parameter(gpu, "weight", [N]);
  weight.write(home);
  const copies = new WeightCopies(gpu, [weight], "source of");
  weight.write(moved);
  const restoring = new Restoring(gpu, copies.of);
  const read = () => gpu.readFloats(weight.buffer, N);
  return { weight, copies, restoring, read };
}

test("by chance: all at 1, none at 0, and in between a share of them, the same for the same seed", async () => {
  const { restoring, read, weight } = weights();
  await restoring.byChance(0, 7);
  expect(await read()).toEqual(moved);
  await restoring.byChance(0.3, 7);
  const found = await read();
  const back = found.filter((x, i) => x === home[i]!).length;
  expect([...found].every((x, i) => x === home[i] || x === moved[i])).toBe(true);
  expect(Math.abs(back / N - 0.3)).toBeLessThan(0.08);
  weight.write(moved);
  await restoring.byChance(0.3, 7);
  expect(await read()).toEqual(found);
  weight.write(moved);
  await restoring.byChance(0.3, 8);
  expect(await read()).not.toEqual(found);
  await restoring.byChance(1, 7);
  expect(await read()).toEqual(home);
});

test("by small gradients: those below the quantile go back, with their copies", async () => {
  const { weight, restoring, read } = weights();
  const gradient = normals(3, N);
  gpu.write(weight.gradient, 0, new Uint8Array(gradient.buffer));
  const least = await gradientQuantile(gpu, [weight], 0.25);
  const sorted = gradient.map(Math.abs).sort();
  expect(least).toBe(sorted[Math.floor(0.25 * N)]!);
  expect(await gradientQuantile(gpu, [weight], 0)).toBe(0);
  const teacher = new WeightCopies(gpu, [weight], "teacher of");
  await restoring.bySmallGradient(least, teacher.of);
  const expected = moved.map((x, i) => (Math.abs(gradient[i]!) < least ? home[i]! : x));
  expect(await read()).toEqual(expected);
  expect(await gpu.readFloats(teacher.of.get(weight)!.buffer, N)).toEqual(expected);
});

test("a teacher follows: m teacher + (1 - m) student", async () => {
  const { weight, copies } = weights();
  await copies.follow(0.75);
  const found = await gpu.readFloats(copies.of.get(weight)!.buffer, N);
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(0.75 * home[i]! + 0.25 * moved[i]!, 6);
});
