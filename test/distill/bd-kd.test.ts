/** BD-KD: the weights of its two divergences, and what the teacher learns, against float64. */
import { describe, expect, test } from "bun:test";
import { method as bdKd } from "../../src/distill/methods/bd-kd.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as reverseKl } from "../../src/distill/methods/reverse-kl.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { partsOf } from "./parts.ts";
import { runRows } from "./rows.ts";

const gpu = await sharedGpu();
const [n, v] = [5, 37];
const student = normals(1, n * v, 2);
const teacher = normals(2, n * v, 2);
const both = { student, teachers: [teacher], outputs: v };

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
const row = (x: Float32Array, i: number) => x.subarray(i * v, (i + 1) * v);
const softmax = (x: ArrayLike<number>, temperature = 1): number[] => {
  const most = Math.max(...Array.from(x));
  const e = Array.from(x, (z) => Math.exp((z - most) / temperature));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((z) => z / sum);
};
const entropy = (x: ArrayLike<number>) => -softmax(x).reduce((sum, p) => sum + p * Math.log(p), 0);
const kl = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * Math.log(x / b[i]!), 0);

describe("what the student learns", () => {
  test("with delta 1 is forward plus reverse KL", async () => {
    const { losses, gradient } = await runRows(gpu, bdKd, { ...both, settings: { delta: 1, temperature: 2 } });
    const at = { ...both, settings: { temperature: 2 } };
    const [forward, reverse] = [await runRows(gpu, kd, at), await runRows(gpu, reverseKl, at)];
    expect(
      worst(
        losses,
        forward.losses.map((x, i) => x + reverse.losses[i]!),
      ),
    ).toBeLessThan(1e-5);
    expect(
      worst(
        gradient,
        forward.gradient.map((x, i) => x + reverse.gradient[i]!),
      ),
    ).toBeLessThan(1e-5);
  });

  test("weighs the divergence that spreads out a student that is too sure, row by row", async () => {
    const one = await runRows(gpu, bdKd, { ...both, settings: { delta: 3 } });
    const other = await runRows(gpu, bdKd, {
      student: teacher,
      teachers: [student],
      outputs: v,
      settings: { delta: 3 },
    });
    const [forward, reverse] = [await runRows(gpu, kd, both), await runRows(gpu, reverseKl, both)];
    let surer = 0;
    for (let row = 0; row < n; row++) {
      const [s, t] = [student, teacher].map((x) => entropy(x.subarray(row * v, (row + 1) * v)));
      const sure = t! > s! ? 1 : 0;
      surer += sure;
      expect(one.notes.student_surer![row]).toBe(sure);
      expect(other.notes.student_surer![row]).toBe(1 - sure); // swapped models swap the weights
      const [f, r] = [forward.losses[row]!, reverse.losses[row]!];
      expect(one.losses[row]).toBeCloseTo(sure ? 3 * f + r : f + 3 * r, 4);
    }
    expect(surer).toBeGreaterThan(0);
    expect(surer).toBeLessThan(n);
  });
});

test.each([1, 4])(
  "the teacher learns the labels and T^2 KL(teacher || student), the student held fixed: T %d",
  async (t) => {
    const targets = Int32Array.of(3, 0, -100, 36, 12);
    const [part] = partsOf(bindDefaults(bdKd, { online: true, teacher_out: "out", temperature: t }));
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        student: { shape: [n, v], data: student },
        teacher: { shape: [n, v], data: teacher, grad: true },
        targets: { shape: [n], data: targets, dtype: "i32" },
      },
      build: (rec, x) => part!.teacherRows!(rec, { student: x.student!, teacher: x.teacher!, targets: x.targets! }),
      seeds: { y: new Float32Array(n).fill(1) },
    });
    for (const [i, target] of targets.entries()) {
      const [q, p] = [softmax(row(student, i), t), softmax(row(teacher, i), t)];
      const label = softmax(row(teacher, i));
      const counts = target >= 0;
      const expected = counts ? -Math.log(label[target]!) + t * t * kl(p, q) : 0;
      expect(Math.abs(outputs.y![i]! - expected)).toBeLessThan(1e-4);
      if (counts) expect(Math.abs(kl(p, q) - kl(q, p))).toBeGreaterThan(1e-3); // the other direction is another number
      // d/dz KL(p || q) = p (log(p / q) - KL) / T
      for (const [z, share] of p.entries()) {
        const slope = t * share * (Math.log(share / q[z]!) - kl(p, q)) + label[z]! - (z === target ? 1 : 0);
        expect(Math.abs(row(gradients.teacher!, i)[z]! - (counts ? slope : 0))).toBeLessThan(2e-5);
      }
    }
  },
);
