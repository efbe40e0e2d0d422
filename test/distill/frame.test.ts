/**
 * What the frame of distillation holds for every method: means over rows that count, however they are cut into batches.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { extraParameters } from "../../src/distill/training.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const config = TINY_TEXT.llama!;
const fresh = (seed: number) => Model.fresh(gpu, config, "model", { seed });
const [student, ...models] = await Promise.all([1, 2, 3].map(fresh));
const teachers = models.map((model) => liveTeacher(model, model.sizes.outputs));
afterAll(() => {
  student!.free();
  for (const teacher of teachers) teacher.free();
});

const unit = randomUnits(5);
const rows: Sequence[] = [9, 14, 5, 11].map((length, i) => {
  const ids = Int32Array.from({ length }, () => Math.floor(50 * unit()));
  return { ids, labels: ids.map((id, t) => (t < 3 * i ? -100 : id)), group: 0, place: `${i}` };
});
const batchOf = (which: readonly number[]) => collate(which.map((i) => [rows[i]!]));

const methods = (await loadMethods("distill")).filter(({ rows, states, numbers }) => rows || states || !numbers);

describe.each(methods.map((method) => [method.name, method] as const))("%s", (_, method) => {
  const { values } = bindDefaults(method);
  const [least] = method.teachers ?? [1];
  const sizes = { student: student!.sizes, teacher: student!.sizes };
  const extra = extraParameters(gpu, method.extra?.({ ...sizes, values }) ?? [], 4);
  afterAll(() => {
    for (const parameter of extra.values()) parameter.free();
  });
  const run = {
    model: student!,
    method,
    teachers: teachers.slice(0, least),
    extra,
    values: { ...method.adaptive?.({ values, steps: 9, teachers: least }).values(1) },
  };
  const learns = [...student!.trainable(), ...extra.values()];

  test("micro-batches add up to their batch, whatever rows count how many tokens", async () => {
    const whole = await lossOf(run, batchOf([0, 1, 2, 3]), learns);
    const cut = await lossOf(run, [batchOf([2]), batchOf([0, 3]), batchOf([1])], learns);
    expect(whole.metrics.loss).toBeGreaterThan(0);
    for (const [name, value] of Object.entries(whole.metrics))
      expect(Math.abs(cut.metrics[name]! - value)).toBeLessThan(1e-5 * (1 + Math.abs(value)));
    const most = whole.gradients.reduce((a, g) => Math.max(a, Math.abs(g)), 0);
    expect(most).toBeGreaterThan(1e-4);
    for (const [i, g] of whole.gradients.entries()) expect(Math.abs(g - cut.gradients[i]!)).toBeLessThan(3e-5 * most);
  });

  test("rows of which no token counts are no loss, not NaN", async () => {
    const silent = batchOf([0, 1]);
    const { metrics, gradients } = await lossOf(
      run,
      { ...silent, labels: silent.labels.map(() => -100), counted: 0 },
      learns,
    );
    expect(metrics.loss).toBe(0);
    expect(gradients.every((g) => g === 0)).toBe(true);
  });
});
