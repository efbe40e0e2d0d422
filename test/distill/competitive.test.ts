/** Competitive distillation: who teaches whom, row by row, against f64. */
import { describe, expect, test } from "bun:test";
import { method } from "../../src/distill/methods/competitive.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { partsOf } from "./parts.ts";
import { runRows } from "./rows.ts";

const gpu = await sharedGpu();
const [N, V] = [70, 9];
const [student, teacher] = [normals(1, N * V, 2), normals(2, N * V, 2)];
const targets = Int32Array.from({ length: N }, (_, i) => (i % 11 === 3 ? -100 : (5 * i) % V));
const both = { student, teachers: [teacher], outputs: V, targets };

const row = (x: Float32Array, i: number, temperature = 1): number[] => {
  const z = Array.from(x.subarray(i * V, (i + 1) * V), (value) => value / temperature);
  const most = Math.max(...z);
  const total = z.reduce((sum, value) => sum + Math.exp(value - most), 0);
  return z.map((value) => Math.exp(value - most) / total);
};
const kl = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, v) => sum + x * Math.log(x / b[v]!), 0);
/** Whether the teacher gives the label more. */
const better = (i: number) => row(teacher, i)[targets[i]!]! > row(student, i)[targets[i]!]!;

/** The teacher's own loss, and its gradient. */
async function ofTeacher(settings: Readonly<Record<string, unknown>> = {}) {
  const [part] = partsOf(bindDefaults(method, { online: true, teacher_out: "out", ...settings }));
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      student: { shape: [N, V], data: student },
      teacher: { shape: [N, V], data: teacher, grad: true },
      targets: { shape: [N], data: targets, dtype: "i32" },
    },
    build: (rec, x) => part!.teacherRows!(rec, { student: x.student!, teacher: x.teacher!, targets: x.targets! }),
    seeds: { y: new Float32Array(N).fill(1) },
  });
  return { losses: outputs.y!, gradient: gradients.teacher! };
}

describe("competitive", () => {
  test.each([1, 3])("each learns where the other is nearer to the label, and nowhere else, T %d", async (t) => {
    const own = await runRows(gpu, method, { ...both, settings: { temperature: t } });
    const other = await ofTeacher({ temperature: t });
    let led = 0;
    for (let i = 0; i < N; i++) {
      const counts = targets[i]! >= 0;
      const [p, q] = [row(teacher, i, t), row(student, i, t)];
      const learns = counts && better(i);
      led += learns ? 1 : 0;
      const label = counts ? -Math.log(row(teacher, i)[targets[i]!]!) : 0;
      expect(own.notes.teacher_better![i]).toBe(learns ? 1 : 0);
      expect(Math.abs(own.losses[i]! - (learns ? t * t * kl(p, q) : 0))).toBeLessThan(2e-5);
      expect(Math.abs(other.losses[i]! - label - (counts && !learns ? t * t * kl(q, p) : 0))).toBeLessThan(2e-5);
      for (let v = 0; v < V; v++) {
        const slope = (gap: number, whether: boolean) => (whether ? t * gap : 0);
        const fromLabel = counts ? row(teacher, i)[v]! - (v === targets[i] ? 1 : 0) : 0;
        expect(Math.abs(own.gradient[i * V + v]! - slope(q[v]! - p[v]!, learns))).toBeLessThan(1e-5);
        expect(Math.abs(other.gradient[i * V + v]! - fromLabel - slope(p[v]! - q[v]!, counts && !learns))).toBeLessThan(
          1e-5,
        );
      }
    }
    expect(led).toBeGreaterThan(N / 5);
    expect(led).toBeLessThan((3 * N) / 5);
  });

  test("a teacher that is right everywhere is followed as by kd", async () => {
    const right = Float32Array.from(teacher, (z, i) => z + (i % V === targets[Math.floor(i / V)] ? 20 : 0));
    const one = await runRows(gpu, method, { ...both, teachers: [right] });
    const plain = await runRows(gpu, kd, { ...both, teachers: [right] });
    expect(one.losses).toEqual(plain.losses);
    expect(one.gradient).toEqual(plain.gradient);
  });

  test("a model teaches itself nothing", async () => {
    const { losses, gradient } = await runRows(gpu, method, { ...both, teachers: [student] });
    expect(losses.every((loss) => loss === 0)).toBe(true);
    expect(gradient.every((slope) => slope === 0)).toBe(true);
  });
});
