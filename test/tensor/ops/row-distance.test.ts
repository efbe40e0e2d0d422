import { describe, expect, test } from "bun:test";
import { rowDistance } from "../../../src/tensor/ops/row-distance.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { exactDistance } from "../../support/attention.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("row-distance/row-distance", "row-distance/row-distance-gradient");

const gpu = await sharedGpu();

/** Rows of probabilities; of every third row the last are 0. */
function probabilities(seed: number, n: number, c: number): Float32Array {
  const rows = normals(seed, n * c).map((x) => Math.exp(x));
  for (let row = 0; row < n; row++) {
    const end = row % 3 === 2 ? Math.ceil(c / 2) : c;
    const values = rows.subarray(row * c, (row + 1) * c);
    values.fill(0, end);
    const total = values.reduce((a, x) => a + x, 0);
    for (const [i, x] of values.entries()) values[i] = x / total;
  }
  return rows;
}

describe.each([undefined, hardware])("profile %#", (profile) => {
  const given = profile ? { profile } : {};

  for (const kind of ["kl", "mse"] as const) {
    test.each([[[1, 1]], [[2, 3, 3]], [[5, 17]], [[3, 33]], [[67, 129]]])(
      `${kind} of %j agrees with float64, forward and back`,
      async (shape) => {
        const c = shape.at(-1)!;
        const n = shape.reduce((a, b) => a * b, 1) / c;
        const teacher = probabilities(2, n, c);
        const student = probabilities(1, n, c);
        await checkOp(gpu, kind, {
          inputs: { student: { shape, data: student }, teacher: { shape, data: teacher, grad: false } },
          build: (rec, { student, teacher }) => rowDistance(rec, student!, teacher!, kind),
          reference: (x) => exactDistance(x.student!, teacher, c, kind),
          step: 1e-5,
          // A single 1 is at no distance: there is no relative error, and of mse no slope.
          ...(c === 1 ? { forward: Number.POSITIVE_INFINITY } : {}),
          ...(c === 1 && kind === "mse" ? { backward: Number.POSITIVE_INFINITY } : {}),
          ...given,
        });
      },
    );
  }

  test.each(["kl", "mse"] as const)("%s: equal rows and rows of zeros give 0", async (kind) => {
    const rows = probabilities(3, 4, 7);
    rows.fill(0, 7, 14);
    const { outputs, gradients } = await runOp(gpu, {
      inputs: { student: { shape: [4, 7], data: rows, grad: true }, teacher: { shape: [4, 7], data: rows } },
      build: (rec, { student, teacher }) => rowDistance(rec, student!, teacher!, kind),
      seeds: { y: Float32Array.of(1, 1, 1, 1) },
      ...given,
    });
    expect([...outputs.y!]).toEqual([0, 0, 0, 0]);
    for (const slope of gradients.student!.subarray(7, 14)) expect(Math.abs(slope)).toBe(0);
  });

  test("kl: what the teacher sees and the student does not costs much and stays finite", async () => {
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        student: { shape: [1, 3], data: Float32Array.of(1, 0, 0), grad: true },
        teacher: { shape: [1, 3], data: Float32Array.of(0.5, 0.5, 0) },
      },
      build: (rec, { student, teacher }) => rowDistance(rec, student!, teacher!, "kl"),
      seeds: { y: Float32Array.of(1) },
      ...given,
    });
    expect(outputs.y![0]).toBeCloseTo(0.5 * (Math.log(0.5) - Math.log(1e-37)) + 0.5 * Math.log(0.5), 3);
    for (const slope of gradients.student!) expect(Number.isFinite(slope)).toBe(true);
  });
});

test("a teacher with a gradient, and rows of another width, are refused", () => {
  const rec = new Recorder({ subgroupSize: 0, software: true });
  const [student, teacher] = [rec.input("student", [2, 3]), rec.input("teacher", [2, 3])];
  expect(() => rowDistance(rec, student, rec.input("wide", [2, 4]), "kl")).toThrow(
    "kl: student (2, 3), teacher (2, 4)",
  );
  teacher.needsGrad = true;
  expect(() => rowDistance(rec, student, teacher, "mse")).toThrow("mse: no gradient goes to the teacher");
});
