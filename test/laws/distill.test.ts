/** The laws that distillation methods claim, row by row, under their defaults and with every option changed. */
import { describe, expect, test } from "bun:test";
import { DISTILL_LAWS, type DistillLaw, type DistillMethod } from "../../src/distill/contract.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { extraOf, mapOutputs, N, type Outputs, outputsOf, type RowsCase, rowsLoss, V } from "./distill-rows.ts";
import { variantsOf } from "./option-variants.ts";

const gpu = await sharedGpu();
const methods = await loadMethods("distill");

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const total = (values: Float32Array): number => values.reduce((sum, x) => sum + x, 0);
const dot = (a: Outputs, b: Outputs): number =>
  Object.entries(a).reduce((sum, [name, values]) => sum + values.reduce((s, x, i) => s + x * b[name]![i]!, 0), 0);
const along = (outputs: Outputs, direction: Outputs, distance: number): Outputs =>
  mapOutputs(outputs, (values, name) => values.map((x, i) => x + distance * direction[name]![i]!));

function caseOf(method: DistillMethod, settings: RowsCase["settings"]): RowsCase {
  const [least] = method.teachers ?? [1];
  return {
    settings,
    student: outputsOf(method, 1),
    teachers: Array.from({ length: least }, (_, k) => outputsOf(method, 2 + k)),
    targets: Int32Array.from({ length: N }, (_, i) => (5 * i + 3) % V),
    extra: extraOf(method, settings),
  };
}

type Check = (method: DistillMethod, given: RowsCase) => Promise<void>;

const CHECKS: Readonly<Record<DistillLaw, Check>> = {
  async zeroAtTeacher(method, given) {
    const { student, teachers } = given;
    // A projection between two models that are one is the identity.
    const extra = mapOutputs(given.extra, ({ length }) =>
      Float32Array.from({ length }, (_, i) => (i % (Math.sqrt(length) + 1) === 0 ? 1 : 0)),
    );
    const found = await rowsLoss(gpu, method, { ...given, teachers: teachers.map(() => student), extra });
    expect(largest(found.losses)).toBeLessThan(2e-6);
    for (const gradient of Object.values(found.gradients)) expect(largest(gradient)).toBeLessThan(2e-6);
  },

  async neverNegative(method, given) {
    for (const size of [0.1, 1, 10]) {
      const louder = (outputs: Outputs) => mapOutputs(outputs, (values) => values.map((x) => size * x));
      const spoken = { ...given, student: louder(given.student), teachers: given.teachers.map(louder) };
      for (const loss of (await rowsLoss(gpu, method, spoken)).losses) expect(loss).toBeGreaterThanOrEqual(-1e-6);
    }
  },

  async gradientIsSlope(method, given) {
    const { gradients } = await rowsLoss(gpu, method, given);
    const length = Math.sqrt(dot(gradients, gradients));
    expect(length).toBeGreaterThan(1e-3);
    const noise = mapOutputs(gradients, (values, name) => normals(name.length, values.length));
    for (const direction of [gradients, noise]) {
      const unit = mapOutputs(direction, (values) => values.map((x) => x / Math.sqrt(dot(direction, direction))));
      const at = async (distance: number) => {
        const student = along(given.student, unit, distance);
        const extra = along(given.extra, unit, distance);
        return total((await rowsLoss(gpu, method, { ...given, student, extra })).losses);
      };
      const h = 4e-3;
      const slope = (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
      expect(Math.abs(slope - dot(gradients, unit))).toBeLessThan(1e-2 * length);
    }
  },

  async shiftInvariant(method, given) {
    const shifted = (by: (row: number) => number) => (outputs: Outputs) =>
      mapOutputs(outputs, (values, name) =>
        name === "logits" ? values.map((x, i) => x + by(Math.floor(i / V))) : values,
      );
    const plain = await rowsLoss(gpu, method, given);
    const moved = await rowsLoss(gpu, method, {
      ...given,
      student: shifted((row) => row - 2)(given.student),
      teachers: given.teachers.map(shifted((row) => 4 - 2 * row)),
    });
    expect(largest(moved.losses.map((x, i) => x - plain.losses[i]!))).toBeLessThan(1e-5 * (1 + largest(plain.losses)));
    for (const [name, gradient] of Object.entries(plain.gradients))
      expect(largest(moved.gradients[name]!.map((x, i) => x - gradient[i]!))).toBeLessThan(
        1e-5 * (1 + largest(gradient)),
      );
  },

  async rowsIndependent(method, given) {
    const order = [3, 0, 5, 1, 4, 2];
    const turn = (values: Float32Array) => {
      const width = values.length / N;
      return Float32Array.from(order.flatMap((row) => [...values.subarray(row * width, (row + 1) * width)]));
    };
    const turned = (outputs: Outputs) => mapOutputs(outputs, turn);
    const plain = await rowsLoss(gpu, method, given);
    const moved = await rowsLoss(gpu, method, {
      ...given,
      student: turned(given.student),
      teachers: given.teachers.map(turned),
      targets: Int32Array.from(order, (row) => given.targets[row]!),
    });
    expect(moved.losses).toEqual(turn(plain.losses));
    for (const name of Object.keys(given.student)) expect(moved.gradients[name]).toEqual(turn(plain.gradients[name]!));
  },

  async zeroWhereUncounted(method, given) {
    const targets = given.targets.map((target, row) => (row % 2 === 0 ? target : -100));
    const { losses, gradients } = await rowsLoss(gpu, method, { ...given, targets });
    for (const [row, loss] of losses.entries()) {
      if (targets[row]! < 0) expect(loss).toBe(0);
      for (const [name, values] of Object.entries(gradients)) {
        if (name in given.extra) continue;
        const width = values.length / N;
        if (targets[row]! < 0) expect(largest(values.subarray(row * width, (row + 1) * width))).toBe(0);
      }
    }
  },
};

describe.each(methods.map((method) => [method.name, method] as const))("%s", async (_, method) => {
  test("claims every law of its kind, or says why it does not", () => {
    expect(Object.keys(method.laws).sort()).toEqual(Object.keys(DISTILL_LAWS).sort());
    for (const reason of Object.values(method.laws)) if (reason !== true) expect(reason.length).toBeGreaterThan(10);
  });

  const variants = await variantsOf(method.options);
  for (const law of claimed(method.laws))
    for (const { name, settings } of variants)
      test(`${DISTILL_LAWS[law]}${name && `; ${name}`}`, () => CHECKS[law](method, caseOf(method, settings)));
});
