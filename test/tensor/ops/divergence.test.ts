import { describe, expect, test } from "bun:test";
import { type DivergenceKind, divergence } from "../../../src/tensor/ops/divergence.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("divergence/divergence", "divergence/divergence-gradient");

const gpu = await sharedGpu();

function softmax(x: Float64Array): Float64Array {
  const most = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const e = x.map((v) => Math.exp(v - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}
const kl = (a: Float64Array, b: Float64Array) =>
  a.reduce((sum, p, i) => sum + (p === 0 ? 0 : p * Math.log(p / b[i]!)), 0);
const mix = (a: Float64Array, b: Float64Array, share: number) => a.map((p, i) => share * p + (1 - share) * b[i]!);

const definitions: Partial<Record<DivergenceKind, (p: Float64Array, q: Float64Array, a: number) => number>> = {
  "forward-kl": (p, q) => kl(p, q),
  "reverse-kl": (p, q) => kl(q, p),
  jsd: (p, q, a) => a * kl(p, mix(p, q, a)) + (1 - a) * kl(q, mix(p, q, a)),
  tvd: (p, q) => 0.5 * p.reduce((sum, v, i) => sum + Math.abs(v - q[i]!), 0),
  "skew-kl": (p, q, a) => kl(p, mix(p, q, a)),
  "skew-rkl": (p, q, a) => kl(q, mix(q, p, a)),
};

describe.each(Object.keys(definitions) as DivergenceKind[])("%s", (kind) => {
  test.each([
    [1, 1],
    [3, 3],
    [1, 255],
    [3, 257],
  ])("%d rows of %d, forward and back", async (n, v) => {
    const targets = Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : 0));
    const [a, temperature] = [0.3, 2];
    for (const profile of [undefined, hardware]) {
      await checkOp(gpu, kind, {
        inputs: {
          student: { shape: [n, v], data: normals(1, n * v, 2) },
          teacher: { shape: [n, v], data: normals(2, n * v, 2), grad: false },
          targets: { shape: [n], data: targets, dtype: "i32" },
        },
        build: (rec, { student, teacher, targets }) =>
          divergence(rec, student!, teacher!, targets!, { kind, a, temperature }),
        reference: ({ student, teacher }) =>
          Float64Array.from(targets, (target, row) => {
            if (target < 0) return 0;
            const part = (x: Float64Array) => softmax(x.subarray(row * v, (row + 1) * v).map((z) => z / temperature));
            return temperature ** 2 * definitions[kind]!(part(teacher!), part(student!), a);
          }),
        ...(profile ? { profile } : {}),
        // One output leaves nothing to diverge; the slope of |p - q| has corners.
        ...(v === 1 ? { forward: Number.POSITIVE_INFINITY, backward: Number.POSITIVE_INFINITY } : { step: 1e-4 }),
      });
    }
  });
});

const run = (kind: DivergenceKind, a: number, student: Float32Array, teacher: Float32Array) =>
  runOp(gpu, {
    inputs: {
      s: { shape: [1, student.length], data: student, grad: true },
      t: { shape: [1, teacher.length], data: teacher },
      l: { shape: [1], data: Int32Array.of(0), dtype: "i32" },
    },
    build: (rec, { s, t, l }) => divergence(rec, s!, t!, l!, { kind, a }),
    seeds: { y: Float32Array.of(1) },
  });

describe("laws", () => {
  const [s, t] = [normals(3, 40, 2), normals(4, 40, 2)];
  test.each(Object.keys(definitions) as DivergenceKind[])("%s of equals is 0, and so is its gradient", async (kind) => {
    const { outputs, gradients } = await run(kind, 0.3, s, s);
    expect(Math.abs(outputs.y![0]!)).toBeLessThan(1e-6);
    expect(gradients.s!.every((g) => Math.abs(g) < 1e-6)).toBe(true);
  });

  test("an interpolated target goes from a standstill to forward KL", async () => {
    const [start, end, forward] = [
      await run("interpolated-target", 0, s, t),
      await run("interpolated-target", 1, s, t),
      await run("forward-kl", 0, s, t),
    ];
    expect(start.gradients.s!.every((g) => Math.abs(g) < 1e-6)).toBe(true);
    expect(end.outputs.y![0]).toBeCloseTo(forward.outputs.y![0]!, 5);
    for (const [i, g] of end.gradients.s!.entries()) expect(g).toBeCloseTo(forward.gradients.s![i]!, 6);
  });

  test("a lowered label gives the cross-entropy against the teacher without it, and pulls away from it", async () => {
    const { outputs, gradients } = await run("lowered-label", 1.5, s, t);
    const lowered = softmax(Float64Array.from(t, (z, i) => (i === 0 ? z - 1.5 : z)));
    const own = softmax(Float64Array.from(s));
    const expected = -lowered.reduce((sum, p, i) => sum + p * Math.log(own[i]!), 0);
    expect(outputs.y![0]).toBeCloseTo(expected, 4);
    for (const [i, g] of gradients.s!.entries()) expect(g).toBeCloseTo(own[i]! - lowered[i]!, 6);
    const impossible = await run("lowered-label", 1e30, s, s);
    expect(impossible.gradients.s![0]).toBeCloseTo(own[0]!, 6);
    expect(impossible.gradients.s!.slice(1).every((g) => g <= 0)).toBe(true);
  });

  test("skews of nothing are the plain ones", async () => {
    expect((await run("skew-kl", 0, s, t)).outputs.y![0]).toBeCloseTo(
      (await run("forward-kl", 0, s, t)).outputs.y![0]!,
      5,
    );
    expect((await run("skew-rkl", 0, s, t)).outputs.y![0]).toBeCloseTo(
      (await run("reverse-kl", 0, s, t)).outputs.y![0]!,
      5,
    );
  });

  test("logits of ten thousand and masked ones stay finite", async () => {
    const [big, other] = [Float32Array.of(1e4, 1e4, -3.4e38, 0), Float32Array.of(0, 1e4, -3.4e38, 1e4)];
    for (const kind of Object.keys(definitions) as DivergenceKind[]) {
      const { outputs, gradients } = await run(kind, 0.5, big, other);
      expect(Number.isFinite(outputs.y![0]!)).toBe(true);
      expect(gradients.s!.every(Number.isFinite)).toBe(true);
    }
  });
});
