/** The objective of the curriculum on a tiny model, against float64. */
import { describe, expect, test } from "bun:test";
import type { TaskLoss } from "../../src/curriculum/contract.ts";
import type { SampleWeight } from "../../src/curriculum/loss-weights.ts";
import { type CurriculumLoss, curriculumObjective } from "../../src/curriculum/objective.ts";
import type { CurriculumBatch } from "../../src/curriculum/source.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { referenceLogits, type Weights } from "../model/reference.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomWords } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { KINDS, weightsBy, worst } from "./by-loss.ts";

const gpu = await sharedGpu();

const JSON_OF = {
  ...TINY_TEXT.llama,
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 20,
} as Json;
const NAMES = ["first", "second", "third"];

interface Row {
  readonly group: number;
  readonly ids: readonly number[];
  /** Tokens at the start that do not count. */
  readonly prompt?: number;
}
const word = randomWords(11);
const row = (group: number, length: number, prompt?: number): Row => ({
  group,
  ids: Array.from({ length }, () => word() % 20),
  ...(prompt === undefined ? {} : { prompt }),
});
/** Rows of different lengths; one group has most of the tokens, one a single row. */
const ROWS = [row(0, 9), row(0, 12), row(0, 5, 2), row(0, 14), row(1, 4), row(1, 7, 3), row(2, 3)];

function batchOf(rows: readonly Row[]): CurriculumBatch {
  return {
    groups: Int32Array.from(rows, ({ group }) => group),
    batch: collate(
      rows.map(({ group, ids, prompt = 0 }, i) => [
        {
          ids: Int32Array.from(ids),
          labels: Int32Array.from(ids, (id, at) => (at < prompt ? -100 : id)),
          group,
          place: `row ${i}`,
        },
      ]),
    ),
  };
}

const model = await Model.fresh(gpu, JSON_OF, "tiny", { seed: 5 });
for (const [i, { parameter }] of model.stored.entries())
  if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3, 1));
const weights = new Map<string, Float64Array>();
for (const { name, parameter, start, shape } of model.stored) {
  const count = shape.reduce((a, b) => a * b, 1);
  weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, count, 4 * start)));
}

/** Sum of the losses of a row's tokens and their number, in float64. */
function rowLosses(rows: readonly Row[], w: Weights = weights): { sum: number; count: number }[] {
  return rows.map(({ ids, prompt = 0 }) => {
    const logits = referenceLogits(JSON_OF, w, { ids: [[...ids]] });
    let [sum, count] = [0, 0];
    for (let i = 0; i + 1 < ids.length; i++) {
      if (i + 1 < prompt) continue;
      const z = Array.from(logits.slice(20 * i, 20 * (i + 1)));
      const most = Math.max(...z);
      sum += most + Math.log(z.reduce((all, x) => all + Math.exp(x - most), 0)) - z[ids[i + 1]!]!;
      count++;
    }
    return { sum, count };
  });
}

/** Mean losses of rows before any weight is moved: weights by loss take no gradient. */
const START = new Map([[ROWS as readonly Row[], rowLosses(ROWS).map(({ sum, count }) => sum / count)]]);

interface Setting {
  readonly taskLoss?: TaskLoss;
  readonly sampleWeight?: SampleWeight;
  readonly focus?: number;
  readonly groupWeights?: readonly number[];
  readonly inverse?: number;
}

/** The loss as the card has it. */
function reference(rows: readonly Row[], setting: Setting, w: Weights = weights): number {
  const { taskLoss = "token-mean", sampleWeight = "uniform", focus = 2, groupWeights, inverse = 2 } = setting;
  const losses = rowLosses(rows, w);
  const means = losses.map(({ sum, count }) => sum / count);
  if (sampleWeight !== "uniform") {
    const held = weightsBy(sampleWeight, START.get(rows)!, inverse);
    return means.reduce((all, mean, i) => all + held[i]! * mean, 0);
  }
  const of = (group: number) => groupWeights?.[group] ?? 1;
  const total = (value: (i: number) => number, group?: number) =>
    rows.reduce((all, row, i) => all + (group === undefined || row.group === group ? value(i) : 0), 0);
  const weight = (i: number) => of(rows[i]!.group);
  if (taskLoss === "token-mean")
    return total((i) => weight(i) * losses[i]!.sum) / total((i) => weight(i) * losses[i]!.count);
  if (taskLoss === "sample-mean") return total((i) => weight(i) * means[i]!) / total(weight);
  const present = NAMES.flatMap((_, g) => (rows.some(({ group }) => group === g) ? [g] : []));
  const focused = means.map((mean) => (1 - Math.exp(-mean)) ** focus * mean);
  const ofGroup = (g: number) => {
    if (taskLoss === "task-token-mean") return total((i) => losses[i]!.sum, g) / total((i) => losses[i]!.count, g);
    return total((i) => (taskLoss === "task-focal" ? focused : means)[i]!, g) / total(() => 1, g);
  };
  const shares = present.reduce((all, g) => all + of(g), 0);
  return present.reduce((all, g) => all + (of(g) / shares) * ofGroup(g), 0);
}

/** Loss, gradients and what is reported, from the recorded programs, over micro-batches. */
async function measured(parts: readonly (readonly Row[])[], setting: Setting, profile = profileOf(gpu)) {
  const { taskLoss = "token-mean", sampleWeight = "uniform", focus = 2, groupWeights, inverse = 2 } = setting;
  const given: CurriculumLoss = {
    model,
    names: NAMES,
    taskLoss,
    sampleWeight,
    focus,
    recompute: false,
    groupWeights: () => groupWeights,
  };
  const objective = curriculumObjective(given);
  const batches = parts.map(batchOf);
  const total = batches.reduce((sum, batch) => sum + objective.counted(batch, ""), 0);
  const sums: Record<string, number> = {};
  for (const [i, batch] of batches.entries()) {
    const rec = new Recorder(profile);
    const { backward, metrics } = objective.record(rec, batch, "");
    for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
    rec.backward(backward);
    const program = await Program.compile(gpu, rec);
    objective.fill(program, batch, total, "");
    program.run({ accumulate: i === 0 ? 0 : 1, inverse_r: inverse, seed: 1 });
    for (const name of Object.keys(metrics)) sums[name] = (sums[name] ?? 0) + (await program.read(name))[0]!;
    program.free();
  }
  const gradients = new Map<string, Float32Array>();
  for (const { name, parameter, start, shape } of model.stored)
    gradients.set(
      name,
      await gpu.readFloats(
        parameter.gradient,
        shape.reduce((a, b) => a * b, 1),
        4 * start,
      ),
    );
  return { loss: sums.loss!, reported: objective.report!(sums, batches), gradients };
}

/** Compares sampled entries of every weight's gradient with central differences of the reference. */
function checkGradients(gradients: ReadonlyMap<string, Float32Array>, loss: () => number): void {
  const next = randomWords(3);
  const largest = Math.max(
    ...[...gradients.values()].map((values) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0)),
  );
  for (const [name, gradient] of gradients) {
    const values = weights.get(name)!;
    const most = Math.max(
      1e-3 * largest,
      gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 0),
    );
    for (let n = 0; n < 2; n++) {
      const i = next() % gradient.length;
      const kept = values[i]!;
      const slope = (h: number) => {
        values[i] = kept + h;
        const above = loss();
        values[i] = kept - h;
        const below = loss();
        values[i] = kept;
        return (above - below) / (2 * h);
      };
      const exact = (4 * slope(5e-5) - slope(1e-4)) / 3;
      if (!(Math.abs(gradient[i]! - exact) < 3e-5 * most))
        throw new Error(`${name}[${i}]: gradient ${gradient[i]}, by differences ${exact}, largest ${most}`);
    }
  }
}

const SETTINGS: Record<string, Setting> = {
  "token-mean": {},
  "token-mean, group weights": { groupWeights: [0.2, 3, 1.4] },
  "sample-mean": { taskLoss: "sample-mean" },
  "sample-mean, group weights": { taskLoss: "sample-mean", groupWeights: [0.2, 3, 1.4] },
  "task-token-mean": { taskLoss: "task-token-mean" },
  "task-token-mean, group weights": { taskLoss: "task-token-mean", groupWeights: [0.2, 3, 1.4] },
  "task-sample-mean": { taskLoss: "task-sample-mean" },
  "task-sample-mean, group weights": { taskLoss: "task-sample-mean", groupWeights: [0.2, 3, 1.4] },
  "task-focal": { taskLoss: "task-focal" },
  "task-focal, gamma 0.7, group weights": { taskLoss: "task-focal", focus: 0.7, groupWeights: [0.2, 3, 1.4] },
  linupper: { sampleWeight: "linupper" },
  quadratic: { sampleWeight: "quadratic", inverse: 1 },
  extremes: { sampleWeight: "extremes", inverse: 3 },
};

describe("loss and gradient of a batch", () => {
  test.each(Object.keys(SETTINGS))("%s", async (name) => {
    const setting = SETTINGS[name]!;
    const { loss, gradients } = await measured([ROWS], setting);
    expect(Math.abs(loss / reference(ROWS, setting) - 1)).toBeLessThan(3e-6);
    checkGradients(gradients, () => reference(ROWS, setting));
  });

  test("a group that is not in the batch changes nothing", async () => {
    const rows = ROWS.filter(({ group }) => group !== 1);
    for (const taskLoss of ["task-token-mean", "task-sample-mean", "task-focal"] as const) {
      const { loss, reported } = await measured([rows], { taskLoss });
      expect(Math.abs(loss / reference(rows, { taskLoss }) - 1)).toBeLessThan(3e-6);
      expect(Object.keys(reported)).toEqual(["loss", "loss.first", "loss.third"]);
    }
  });
});

const same = (a: ReadonlyMap<string, Float32Array>, b: ReadonlyMap<string, Float32Array>): number => {
  let most = 0;
  for (const [name, values] of a) {
    const scale = values.reduce((m, x) => Math.max(m, Math.abs(x)), 1e-9);
    most = Math.max(most, worst(values, b.get(name)!) / scale);
  }
  return most;
};

describe("laws", () => {
  test("r to infinity gives the gradient of the mean over rows", async () => {
    const uniform = await measured([ROWS], { taskLoss: "sample-mean" });
    for (const sampleWeight of KINDS) {
      const weighted = await measured([ROWS], { sampleWeight, inverse: 0 });
      expect(Math.abs(weighted.loss - uniform.loss)).toBeLessThan(1e-6);
      expect(same(uniform.gradients, weighted.gradients)).toBeLessThan(2e-6);
    }
  });

  test("rows that are all the same weigh the same, whatever r", async () => {
    const rows = [ROWS[1]!, ROWS[1]!, ROWS[1]!, ROWS[1]!];
    const uniform = await measured([rows], { taskLoss: "sample-mean" });
    for (const sampleWeight of KINDS) {
      const weighted = await measured([rows], { sampleWeight, inverse: 2 });
      expect(same(uniform.gradients, weighted.gradients)).toBeLessThan(2e-6);
    }
  });

  test("with one group, means over tokens are plain cross-entropy and means over rows are one another", async () => {
    const rows = ROWS.filter(({ group }) => group === 0);
    const plain = await measured([rows], {});
    const byToken = await measured([rows], { taskLoss: "task-token-mean", groupWeights: [0.3, 1, 1] });
    expect(same(plain.gradients, byToken.gradients)).toBeLessThan(2e-6);
    const byRow = await measured([rows], { taskLoss: "sample-mean" });
    for (const setting of [{ taskLoss: "task-sample-mean" }, { taskLoss: "task-focal", focus: 0 }] as const) {
      const { loss, gradients } = await measured([rows], setting);
      expect(Math.abs(loss - byRow.loss)).toBeLessThan(1e-6);
      expect(same(byRow.gradients, gradients)).toBeLessThan(2e-6);
    }
    // Rows with as many tokens that count: all five are plain cross-entropy.
    const even = [row(0, 8), row(0, 8), row(0, 8)];
    const mean = await measured([even], {});
    for (const taskLoss of ["sample-mean", "task-token-mean", "task-sample-mean", "task-focal"] as const)
      expect(same(mean.gradients, (await measured([even], { taskLoss, focus: 0 })).gradients)).toBeLessThan(2e-6);
  });

  test("gamma 0 of task-focal is task-sample-mean", async () => {
    const focused = await measured([ROWS], { taskLoss: "task-focal", focus: 0 });
    const plain = await measured([ROWS], { taskLoss: "task-sample-mean" });
    expect(same(plain.gradients, focused.gradients)).toBeLessThan(2e-6);
  });

  test("equal group weights are none, at any scale", async () => {
    for (const taskLoss of ["token-mean", "sample-mean", "task-token-mean"] as const) {
      const plain = await measured([ROWS], { taskLoss });
      const weighted = await measured([ROWS], { taskLoss, groupWeights: [0.1, 0.1, 0.1] });
      expect(same(plain.gradients, weighted.gradients)).toBeLessThan(2e-6);
    }
  });

  test("a row of which nothing counts weighs nothing in a mean over rows", async () => {
    const silent: Row = { group: 1, ids: [3, 1, 4, 1, 5], prompt: 5 };
    for (const taskLoss of [
      "token-mean",
      "sample-mean",
      "task-token-mean",
      "task-sample-mean",
      "task-focal",
    ] as const) {
      const plain = await measured([ROWS], { taskLoss });
      const more = await measured([[...ROWS, silent]], { taskLoss });
      expect(Math.abs(plain.loss - more.loss)).toBeLessThan(1e-6);
      expect(same(plain.gradients, more.gradients)).toBeLessThan(2e-6);
    }
    for (const sampleWeight of KINDS) {
      const plain = await measured([ROWS], { sampleWeight });
      const more = await measured([[silent, ...ROWS]], { sampleWeight });
      expect(Math.abs(plain.loss - more.loss)).toBeLessThan(1e-6);
      expect(same(plain.gradients, more.gradients)).toBeLessThan(2e-6);
    }
    const alone = ROWS.filter(({ group }) => group !== 1);
    const { loss } = await measured([[...alone, silent]], { taskLoss: "task-focal" });
    expect(Math.abs(loss / reference(alone, { taskLoss: "task-focal" }) - 1)).toBeLessThan(3e-6);
  });
});

describe("micro-batches", () => {
  const parts = [ROWS.slice(0, 2), ROWS.slice(2, 5), ROWS.slice(5)];

  test.each([
    ["token-mean", {}],
    ["token-mean, group weights", { groupWeights: [0.2, 3, 1.4] }],
    ["sample-mean", { taskLoss: "sample-mean" }],
    ["sample-mean, group weights", { taskLoss: "sample-mean", groupWeights: [0.2, 3, 1.4] }],
  ] as [string, Setting][])("%s is that of all rows at once", async (_, setting) => {
    const [whole, cut] = [await measured([ROWS], setting), await measured(parts, setting)];
    expect(Math.abs(whole.loss - cut.loss)).toBeLessThan(1e-6);
    expect(same(whole.gradients, cut.gradients)).toBeLessThan(5e-6);
  });

  test("means within groups are those of each micro-batch, which weigh alike", async () => {
    for (const taskLoss of ["task-token-mean", "task-sample-mean", "task-focal"] as const) {
      const { loss } = await measured(parts, { taskLoss });
      const mean = parts.reduce((sum, rows) => sum + reference(rows, { taskLoss }), 0) / parts.length;
      expect(Math.abs(loss / mean - 1)).toBeLessThan(3e-6);
    }
  });

  test("the loss of every group is its mean over all tokens, whatever the weights", async () => {
    const losses = rowLosses(ROWS);
    const mean = (g: number) => {
      const own = losses.filter((_, i) => ROWS[i]!.group === g);
      return own.reduce((sum, l) => sum + l.sum, 0) / own.reduce((sum, l) => sum + l.count, 0);
    };
    for (const setting of [
      {},
      { groupWeights: [5, 0.1, 1] },
      { taskLoss: "task-focal" },
      { sampleWeight: "linupper" },
    ] as Setting[]) {
      for (const cut of [[ROWS], parts]) {
        const { reported } = await measured(cut, setting);
        for (const [g, name] of NAMES.entries())
          expect(Math.abs(reported[`loss.${name}`]! / mean(g) - 1)).toBeLessThan(3e-6);
      }
    }
  });
});

test("what a model tells of itself is reported with the losses of groups", () => {
  const given: CurriculumLoss = {
    ...{ model, names: NAMES, focus: 2, recompute: false, groupWeights: () => undefined },
    ...{ taskLoss: "token-mean", sampleWeight: "uniform" },
  };
  const objective = curriculumObjective(given);
  const sums = { loss: 2, "group.0": 3, "group.1": 1, "group.2": 1, balance_loss: 1.25 };
  const reported = objective.report!(sums, [batchOf(ROWS)]);
  expect(reported).toMatchObject({ loss: 2, balance_loss: 1.25 });
  expect(Object.keys(reported).some((name) => name.startsWith("group."))).toBe(false);
});
