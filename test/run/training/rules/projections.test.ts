import { describe, expect, test } from "bun:test";
import { Basis, BasisProjection } from "../../../../src/run/training/rules/basis-projection.ts";
import {
  AveragedProjection,
  boundedQuadratic,
  TaskProjection,
} from "../../../../src/run/training/rules/memory-projection.ts";
import { PathIntegral } from "../../../../src/run/training/rules/path-integral.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const SIZES = [1, 37, 260];
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const parameters = SIZES.map((size, i) => new Parameter(gpu, `w${i}`, [size]));
const write = (gradients: readonly Float32Array[]) => {
  for (const [i, { gradient }] of parameters.entries()) gpu.write(gradient, 0, bytesOf(gradients[i]!));
};
const read = () => Promise.all(parameters.map(({ gradient, size }) => gpu.readFloats(gradient, size)));
const drawn = (seed: number) => SIZES.map((size, i) => normals(10 * seed + i, size));
const inner = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
  a.reduce((sum, x, i) => sum + x.reduce((s, v, k) => s + v * b[i]![k]!, 0), 0);
const mixed = (a: readonly Float32Array[], s: number, b: readonly Float32Array[], t: number) =>
  a.map((x, i) => x.map((v, k) => s * v + t * b[i]![k]!));
const norm = (a: readonly Float32Array[]) => Math.sqrt(inner(a, a));
const far = (a: readonly Float32Array[], b: readonly Float32Array[]) => norm(mixed(a, 1, b, -1)) / norm(b);

/** What a projection makes of the gradients of these parts. */
async function combined(rule: AveragedProjection | TaskProjection, parts: Record<string, Float32Array[]>) {
  await rule.combine(1, Object.keys(parts), async (part) => write(parts[part]!));
  const found = await read();
  rule.free();
  return found;
}

describe("A-GEM", () => {
  const [g, m] = [drawn(1), drawn(2)];
  test("takes what goes uphill on the memory out of the gradient, and leaves one that does not as it is", async () => {
    const uphill = inner(g, m) < 0 ? g : mixed(g, -1, g, 0);
    const found = await combined(new AveragedProjection(gpu, parameters, ["memory"]), { fresh: uphill, memory: m });
    expect(inner(found, m) / (norm(found) * norm(m))).toBeGreaterThan(-1e-6);
    expect(far(found, mixed(uphill, 1, m, -inner(uphill, m) / inner(m, m)))).toBeLessThan(1e-6);
    const downhill = mixed(uphill, -1, uphill, 0);
    const same = await combined(new AveragedProjection(gpu, parameters, ["memory"]), { fresh: downhill, memory: m });
    expect(same).toEqual(downhill);
  });
});

describe("GEM", () => {
  const memories = [drawn(3), drawn(4), mixed(drawn(3), 0.5, drawn(4), 0.7)];
  const g = mixed(mixed(memories[0]!, -1, memories[1]!, -0.4), 1, drawn(5), 0.2);
  const parts = { fresh: g, m0: memories[0]!, m1: memories[1]!, m2: memories[2]! };
  const project = (margin: number) => combined(new TaskProjection(gpu, parameters, ["m0", "m1", "m2"], margin), parts);

  test("no step goes uphill on any memory, and none nearer to the gradient has this", async () => {
    const found = await project(0);
    for (const m of memories) expect(inner(found, m) / (norm(found) * norm(m))).toBeGreaterThan(-1e-5);
    // The nearest point of a cone: the way to it is at right angles to it.
    const way = mixed(found, 1, g, -1);
    expect(Math.abs(inner(way, found)) / (norm(way) * norm(g))).toBeLessThan(1e-5);
    expect(norm(way)).toBeGreaterThan(0.1 * norm(g));
  });

  test("with a margin it goes further downhill; without a conflict the gradient stays as it is", async () => {
    const [plain, wide] = [await project(0), await project(0.5)];
    for (const m of memories) expect(inner(wide, m)).toBeGreaterThan(inner(plain, m) - 1e-3);
    const rule = new TaskProjection(gpu, parameters, ["m0"], 0.5);
    expect(await combined(rule, { fresh: memories[0]!, m0: memories[0]! })).toEqual(memories[0]!);
  });

  test("its small problem by hand", () => {
    expect(boundedQuadratic([[2]], [-4], 0)).toEqual([2]);
    expect(boundedQuadratic([[2]], [4], 0)).toEqual([0]);
    expect(boundedQuadratic([[2]], [-4], 3)).toEqual([3]);
    const [a, b] = boundedQuadratic(
      [
        [2, 1],
        [1, 2],
      ],
      [-3, -3],
      0,
    );
    expect(a).toBeCloseTo(1, 9);
    expect(b).toBeCloseTo(1, 9);
    expect(
      boundedQuadratic(
        [
          [1, 1],
          [1, 1],
        ],
        [-1, -1],
        0,
      ).reduce((x, y) => x + y),
    ).toBeCloseTo(1, 9);
  });
});

describe("Basis", () => {
  test("a projected gradient is at right angles to every direction; one that lies in their span adds none", async () => {
    const basis = new Basis(gpu, parameters, 4);
    const rule = new BasisProjection(basis);
    const given = [drawn(6), drawn(7)];
    write(given[0]!);
    await rule.before();
    expect(await read()).toEqual(given[0]!); // no direction yet
    for (const direction of given) {
      write(direction);
      await basis.add();
    }
    expect(basis.used).toBe(2);
    write(mixed(given[0]!, 2, given[1]!, -3));
    await basis.add();
    expect(basis.used).toBe(2);
    const g = drawn(8);
    write(g);
    await rule.before();
    const found = await read();
    for (const direction of given)
      expect(Math.abs(inner(found, direction)) / (norm(found) * norm(direction))).toBeLessThan(1e-5);
    // What was taken out lies in their span: nothing of it is left at right angles to both.
    const taken = mixed(g, 1, found, -1);
    write(taken);
    await rule.before();
    expect(norm(await read()) / norm(taken)).toBeLessThan(1e-4);
    basis.free();
  });
});

test("PathIntegral adds -g times the way of each step", async () => {
  const paths = new Map(parameters.map((p) => [p, new Parameter(gpu, `path of ${p.name}`, p.shape, "f32", false)]));
  for (const { buffer, size } of paths.values()) gpu.clear(buffer, Math.max(16, 4 * size));
  const rule = new PathIntegral(gpu, paths);
  const expected = SIZES.map((size) => new Float64Array(size));
  for (const step of [1, 2]) {
    const [g, from, to] = [drawn(20 + step), drawn(30 + step), drawn(40 + step)];
    for (const [i, parameter] of parameters.entries()) parameter.write(from[i]!);
    write(g);
    rule.before();
    write(drawn(50)); // a penalty that comes later does not count
    for (const [i, parameter] of parameters.entries()) parameter.write(to[i]!);
    await rule.after();
    for (const [i, sums] of expected.entries())
      for (const k of sums.keys()) sums[k]! -= g[i]![k]! * (to[i]![k]! - from[i]![k]!);
  }
  for (const [i, parameter] of parameters.entries()) {
    const found = await gpu.readFloats(paths.get(parameter)!.buffer, parameter.size);
    for (const [k, x] of found.entries()) expect(Math.abs(x - expected[i]![k]!)).toBeLessThan(1e-5);
  }
  rule.free();
});
