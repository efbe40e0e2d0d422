import { describe, expect, test } from "bun:test";
import { sortedGap, sortRows, topPlaces } from "../../../src/tensor/ops/sorted-gap.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("sorted-gap/first-places", "sorted-gap/sort-rows", "sorted-gap/sorted-gap", "sorted-gap/sorted-gap-gradient");

const gpu = await sharedGpu();

const softmax = (x: ArrayLike<number>): number[] => {
  const most = Array.from(x).reduce((a, b) => Math.max(a, b));
  const e = Array.from(x, (v) => Math.exp(v - most));
  const sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
};

/** Loss and gradient of a row in f64. */
function reference(student: ArrayLike<number>, teacher: ArrayLike<number>): { loss: number; gradient: number[] } {
  const q = softmax(student);
  const p = softmax(teacher).sort((a, b) => b - a);
  const order = [...q.keys()].sort((a, b) => q[b]! - q[a]! || a - b);
  const slope = new Array<number>(q.length);
  let loss = 0;
  for (let rank = 0; rank < Math.max(q.length, p.length); rank++) {
    const id = order[rank];
    const gap = (id === undefined ? 0 : q[id]!) - (p[rank] ?? 0);
    loss += Math.abs(gap);
    if (id !== undefined) slope[id] = Math.sign(gap);
  }
  const mean = q.reduce((sum, x, v) => sum + x * slope[v]!, 0);
  return { loss, gradient: q.map((x, v) => x * (slope[v]! - mean)) };
}

describe("rows are sorted, equals in their order", () => {
  test.each([
    [1, 1],
    [3, 2],
    [2, 7],
    [70, 33],
    [2, 512],
    [3, 1031],
  ])("%d rows of %d", async (n, v) => {
    const x = normals(n + v, n * v).map((value) => Math.round(8 * value) / 8); // many are equal
    const { outputs } = await runOp(gpu, {
      inputs: { x: { shape: [n, v], data: x } },
      build(rec, { x }) {
        const { keys, order } = sortRows(rec, x!);
        return { y: keys, order, first: topPlaces(rec, x!, Math.min(3, v)) };
      },
    });
    const first = new Int32Array(outputs.first!.buffer, outputs.first!.byteOffset, outputs.first!.length);
    const width = outputs.y!.length / n;
    const places = new Uint32Array(outputs.order!.buffer, outputs.order!.byteOffset, outputs.order!.length);
    for (let row = 0; row < n; row++) {
      const values = x.subarray(row * v, (row + 1) * v);
      const expected = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
      expect([...places.subarray(row * width, row * width + v)]).toEqual(expected);
      expect([...outputs.y!.subarray(row * width, row * width + v)]).toEqual(expected.map((i) => values[i]!));
      const k = Math.min(3, v);
      expect([...first.subarray(row * k, (row + 1) * k)]).toEqual(expected.slice(0, k));
    }
  });
});

describe.each([undefined, hardware])("profile %#", (profile) => {
  const run = (student: Float32Array, teacher: Float32Array, s: number, t: number, targets: Int32Array) =>
    runOp(gpu, {
      inputs: {
        student: { shape: [targets.length, s], data: student, grad: true },
        teacher: { shape: [targets.length, t], data: teacher },
        targets: { shape: [targets.length], data: targets, dtype: "i32" },
      },
      build: (rec, x) => sortedGap(rec, x.student!, x.teacher!, x.targets!),
      seeds: { y: Float32Array.from(targets, (_, i) => 1 + i) },
      ...(profile ? { profile } : {}),
    });

  test.each([
    [1, 1, 1],
    [3, 1, 5],
    [3, 5, 1],
    [67, 4, 7],
    [2, 255, 300],
    [2, 300, 257],
  ])("%d rows of %d against %d", async (n, s, t) => {
    const [student, teacher] = [normals(1, n * s, 2), normals(2, n * t, 2)];
    const targets = Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : 0));
    const { outputs, gradients } = await run(student, teacher, s, t, targets);
    for (let row = 0; row < n; row++) {
      const found = gradients.student!.subarray(row * s, (row + 1) * s);
      if (targets[row]! < 0) {
        expect(outputs.y![row]).toBe(0);
        expect([...found].every((x) => x === 0)).toBe(true);
        continue;
      }
      const { loss, gradient } = reference(
        student.subarray(row * s, (row + 1) * s),
        teacher.subarray(row * t, (row + 1) * t),
      );
      expect(Math.abs(outputs.y![row]! - loss)).toBeLessThan(2e-6);
      for (const [v, expected] of gradient.entries())
        expect(Math.abs(found[v]! - (1 + row) * expected)).toBeLessThan(2e-6 * (1 + row));
    }
  });

  test("logits far from 0, and masked ones", async () => {
    const student = Float32Array.of(1e4, 1e4 - 1, -3e38, 9990);
    const teacher = Float32Array.of(-3e38, -500, -501);
    const { outputs, gradients } = await run(student, teacher, 4, 3, Int32Array.of(0));
    const expected = reference([0, -1, Number.NEGATIVE_INFINITY, -10], [Number.NEGATIVE_INFINITY, 0, -1]);
    expect(Math.abs(outputs.y![0]! - expected.loss)).toBeLessThan(1e-6);
    for (const [v, x] of gradients.student!.entries()) expect(Math.abs(x - expected.gradient[v]!)).toBeLessThan(1e-6);
  });
});

describe.each([undefined, hardware])("with factors of all probabilities, profile %#", (profile) => {
  test.each([
    [3, 1, 5],
    [2, 7, 4],
    [70, 33, 40],
  ])("%d rows of %d and %d", async (n, s, t) => {
    const [student, teacher] = [normals(1, n * s, 2), normals(2, n * t, 2)];
    const [own, other] = [3, 4].map((seed) => normals(seed, n).map((x) => -Math.abs(x))) as [
      Float32Array,
      Float32Array,
    ];
    const targets = Int32Array.from({ length: n }, (_, row) => (row === 1 ? -100 : 0));
    const seeds = Float32Array.from(targets, (_, i) => 1 + i);
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        student: { shape: [n, s], data: student, grad: true },
        teacher: { shape: [n, t], data: teacher },
        targets: { shape: [n], data: targets, dtype: "i32" },
        own: { shape: [n], data: own, grad: true },
        other: { shape: [n], data: other },
      },
      build: (rec, x) => sortedGap(rec, x.student!, x.teacher!, x.targets!, { own: x.own!, other: x.other! }),
      seeds: { y: seeds },
      ...(profile ? { profile } : {}),
    });
    for (let row = 0; row < n; row++) {
      const counts = targets[row]! >= 0 ? 1 : 0;
      const q = softmax(student.subarray(row * s, (row + 1) * s));
      const [f, g] = [Math.exp(own[row]!), Math.exp(other[row]!)];
      const p = softmax(teacher.subarray(row * t, (row + 1) * t)).sort((a, b) => b - a);
      const order = [...q.keys()].sort((a, b) => q[b]! - q[a]! || a - b);
      const gap = (rank: number) => f * (q[order[rank]!] ?? 0) - g * (p[rank] ?? 0);
      let loss = 0;
      for (let rank = 0; rank < Math.max(s, t); rank++) loss += Math.abs(gap(rank));
      expect(Math.abs(outputs.y![row]! - counts * loss)).toBeLessThan(2e-6);
      const slope = order.map((_, rank) => Math.sign(gap(rank)));
      const mean = order.reduce((sum, v, rank) => sum + q[v]! * slope[rank]!, 0);
      for (const [rank, v] of order.entries())
        expect(
          Math.abs(gradients.student![row * s + v]! - counts * seeds[row]! * f * q[v]! * (slope[rank]! - mean)),
        ).toBeLessThan(1e-5 * seeds[row]!);
      expect(Math.abs(gradients.own![row]! - counts * seeds[row]! * f * mean)).toBeLessThan(1e-5 * seeds[row]!);
    }
  });
});
