/** Losses of strong students under weak teachers, against float64, and their limits. */
import { describe, expect, test } from "bun:test";
import { method as logconf } from "../../src/distill/methods/logconf.ts";
import { method as product } from "../../src/distill/methods/product.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { runRows, settingsOf } from "./rows.ts";

const gpu = await sharedGpu();
const softmax = (x: readonly number[]): number[] => {
  const e = x.map((z) => Math.exp(z - Math.max(...x)));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};
const rowsOf = (values: ArrayLike<number>, width: number) =>
  Array.from({ length: values.length / width }, (_, i) => Array.from(values).slice(i * width, (i + 1) * width));

/** -sum target log q, and its gradient q - target, row by row. */
function expectTowards(
  found: { readonly losses: Float32Array; readonly gradient: Float32Array },
  student: readonly (readonly number[])[],
  targets: readonly (readonly number[])[],
): void {
  const width = student[0]!.length;
  for (const [i, row] of student.entries()) {
    const q = softmax(row);
    const counts = targets[i]!.reduce((a, b) => a + b, 0);
    const loss = -targets[i]!.reduce((sum, t, v) => sum + t * Math.log(q[v]!), 0);
    expect(found.losses[i]!).toBeCloseTo(loss, 5);
    for (let v = 0; v < width; v++)
      expect(found.gradient[i * width + v]!).toBeCloseTo(counts * q[v]! - targets[i]![v]!, 5);
  }
}

/** The authors' code in plain arithmetic: a quantile between the sorted values decides. */
function quantileGuesses(own: readonly (readonly number[])[], weak: readonly (readonly number[])[]): number[][] {
  const share = weak.reduce((sum, row) => sum + row[1]!, 0) / weak.length;
  const sorted = own.map((row) => row[0]!).sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  const threshold = low + (at - Math.floor(at)) * (high - low);
  return own.map((row) => (row[0]! >= threshold ? [1, 0] : [0, 1]));
}

describe("logconf", () => {
  test.each([1, 2, 3])(
    "two outputs: as many guesses of the second as the teacher has, the student's surest (seed %d)",
    async (seed) => {
      const [student, teacher] = [normals(seed, 22, 2), normals(seed + 10, 22, 2)];
      const [z, w] = [rowsOf(student, 2), rowsOf(teacher, 2).map(softmax)];
      const own = quantileGuesses(z.map(softmax), w);
      for (const c of [0, 0.05, 0.5]) {
        const found = await runRows(gpu, logconf, {
          student,
          teachers: [teacher],
          outputs: 2,
          settings: settingsOf(logconf.options),
          values: { c },
        });
        expectTowards(
          found,
          z,
          w.map((row, i) => row.map((p, v) => (1 - c) * p + c * own[i]![v]!)),
        );
      }
    },
  );

  test("more outputs: the student's likeliest; rows of which the teacher is not sure are left out", async () => {
    const [student, teacher] = [normals(4, 35, 2), normals(5, 35, 2)];
    const [z, w] = [rowsOf(student, 5), rowsOf(teacher, 5).map(softmax)];
    const settings = settingsOf(logconf.options, { confident: 0.6 });
    const found = await runRows(gpu, logconf, {
      student,
      teachers: [teacher],
      outputs: 5,
      settings,
      values: { c: 0.3 },
    });
    const sure = w.map((row) => Math.max(...row) > 0.6);
    expect(new Set(sure).size).toBe(2);
    const targets = w.map((row, i) =>
      row.map((p, v) => (sure[i] ? 0.7 * p + 0.3 * (z[i]![v] === Math.max(...z[i]!) ? 1 : 0) : 0)),
    );
    expectTowards(found, z, targets);
  });

  test("its share is what the steps that are done say until the warm-up is over, then whole", () => {
    const shares = (aux_coef: number, aux_warmup: number) => {
      const adaptive = logconf.adaptive!({ values: { aux_coef, aux_warmup, confident: 0 }, steps: 20, teachers: 1 });
      return [1, 2, 3, 4, 20].map((step) => adaptive.values(step).c!);
    };
    expect(shares(0.5, 0.1)).toEqual([0, 0.025, 0.05, 0.5, 0.5]);
    expect(shares(0, 0.1)).toEqual([0, 0, 0, 0, 0]);
  });
});

test("product: the target is the product of both, each to its power", async () => {
  const [student, teacher] = [normals(6, 28, 2), normals(7, 28, 2)];
  const [z, w] = [rowsOf(student, 4), rowsOf(teacher, 4)];
  for (const [alpha, beta] of [
    [1, 1],
    [0.5, 2],
    [1, 0],
  ] as const) {
    const settings = settingsOf(product.options, { alpha, beta });
    const found = await runRows(gpu, product, { student, teachers: [teacher], outputs: 4, settings });
    const targets = z.map((row, i) => {
      const made = row.map((_, v) => softmax(row)[v]! ** beta * softmax(w[i]!)[v]! ** alpha);
      return made.map((x) => x / made.reduce((a, b) => a + b, 0));
    });
    expectTowards(found, z, targets);
  }
});
