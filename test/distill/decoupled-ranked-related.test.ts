/** Decoupled distillation, rankings of pairs and relations of attention: losses and gradients against float64. */
import { describe, expect, test } from "bun:test";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { method as dkd } from "../../src/distill/methods/dkd.ts";
import { method as hinge } from "../../src/distill/methods/hinge-rank.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as logistic } from "../../src/distill/methods/logistic-rank.ts";
import { method as minilm } from "../../src/distill/methods/minilm.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sequencesOf } from "../experiments/distill-support.ts";
import { exactDistance, exactMaps, exactMean } from "../support/attention.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";
import { runRows } from "./rows.ts";

const gpu = await sharedGpu();
const softmax = (x: readonly number[], temperature = 1): number[] => {
  const most = Math.max(...x);
  const e = x.map((z) => Math.exp((z - most) / temperature));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
};
const kl = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, x, i) => sum + (x > 0 ? x * Math.log(x / q[i]!) : 0), 0);

type Exact = (student: readonly number[], teacher: readonly number[], target: number) => number;

const exactDkd =
  (alpha: number, beta: number, t: number): Exact =>
  (student, teacher, label) => {
    const [q, p] = [softmax(student, t), softmax(teacher, t)];
    const binary = kl([p[label]!, 1 - p[label]!], [q[label]!, 1 - q[label]!]);
    const rest = (x: readonly number[]) =>
      softmax(
        x.filter((_, v) => v !== label),
        t,
      );
    return t * t * (alpha * binary + beta * kl(rest(teacher), rest(student)));
  };

const exactRanks =
  (
    top: number,
    seen: (x: readonly number[]) => readonly number[],
    loss: (k: number, l: number, student: readonly number[], teacher: readonly number[]) => number,
  ): Exact =>
  (student, teacher) => {
    const [q, p] = [seen(student), seen(teacher)];
    const order = [...teacher.keys()].sort((a, b) => teacher[b]! - teacher[a]!).slice(0, top);
    let [sum, pairs] = [0, 0];
    for (const [i, k] of order.entries())
      for (const l of order.slice(i + 1)) {
        sum += loss(k, l, q, p);
        pairs++;
      }
    return sum / Math.max(1, pairs);
  };
const exactHinge = (top: number, margin?: number) =>
  exactRanks(top, softmax, (k, l, q, p) => Math.max(0, (margin ?? p[k]! - p[l]!) - (q[k]! - q[l]!)));
const exactLogistic = (top: number) =>
  exactRanks(
    top,
    (z) => z,
    (k, l, z) => Math.log1p(Math.exp(-(z[k]! - z[l]!))),
  );

describe("losses of rows and their gradients, in float64", () => {
  test.each([
    ["dkd", dkd, {}, exactDkd(1, 8, 1)],
    ["dkd at a temperature", dkd, { alpha: 2, beta: 0.5, temperature: 4 }, exactDkd(2, 0.5, 4)],
    ["hinge-rank", hinge, { top: 5 }, exactHinge(5)],
    ["hinge-rank, all outputs", hinge, { top: 99 }, exactHinge(99)],
    ["hinge-rank with a margin", hinge, { top: 4, margin: 0.3 }, exactHinge(4, 0.3)],
    ["logistic-rank", logistic, { top: 5 }, exactLogistic(5)],
  ] as const)("%s", async (_, chosen, settings, exact) => {
    for (const [n, v] of [
      [3, 2],
      [5, 17],
      [2, 131],
    ] as const) {
      const [student, teacher] = [normals(v, n * v, 2), normals(v + 1, n * v, 2)];
      const targets = Int32Array.from({ length: n }, (_, row) => (row * 7 + 1) % v);
      const found = await runRows(gpu, chosen as never as DistillMethod, {
        ...{ student, teachers: [teacher], outputs: v, targets, settings },
      });
      for (let row = 0; row < n; row++) {
        const [z, y] = [student, teacher].map((x) => [...x.subarray(row * v, (row + 1) * v)]) as [number[], number[]];
        const value = exact(z, y, targets[row]!);
        expect(Math.abs(found.losses[row]! - value)).toBeLessThan(2e-5 * (1 + value));
        for (let i = 0; i < v; i += 5) {
          const at = (h: number) =>
            exact(
              z.map((x, j) => (j === i ? x + h : x)),
              y,
              targets[row]!,
            );
          const slope = (at(1e-5) - at(-1e-5)) / 2e-5;
          expect(Math.abs(found.gradient[row * v + i]! - slope)).toBeLessThan(5e-5 * (1 + value));
        }
      }
    }
  });

  test("forward KL is dkd with a beta of the row's own: what the teacher leaves to the others", async () => {
    const [n, v] = [4, 9];
    const given = { student: normals(1, n * v), teachers: [normals(2, n * v)], outputs: v, targets: [0, 3, 8, 5] };
    const both = await runRows(gpu, dkd, { ...given, settings: { beta: 1 } });
    const whole = await runRows(gpu, kd, given);
    for (let row = 0; row < n; row++) {
      const p = softmax([...given.teachers[0]!.subarray(row * v, (row + 1) * v)]);
      const rest = 1 - p[given.targets[row]!]!;
      const { label_divergence: label, other_divergence: others } = both.notes;
      expect(label![row]! + rest * others![row]!).toBeCloseTo(whole.losses[row]!, 5);
    }
  });

  test("a teacher that is sure of the label still says what else there is", async () => {
    const teacher = [40, 3, 1, 0];
    const student = [40, 0, 1, 3];
    const given = { student, teachers: [teacher], outputs: 4, targets: [0] };
    expect(Math.abs((await runRows(gpu, kd, given)).losses[0]!)).toBeLessThan(1e-6);
    expect((await runRows(gpu, dkd, given)).losses[0]).toBeCloseTo(exactDkd(1, 8, 1)(student, teacher, 0), 4);
  });
});

const LLAMA = TINY_TEXT.llama!;
const unit = randomUnits(5);
const rows = sequencesOf([9, 17, 4].map((length) => Array.from({ length }, () => Math.floor(unit() * 50))));
const packed = collate([[rows[0]!, rows[2]!], [rows[1]!]], { buckets: "none" });

/** Queries, keys and values of a layer, as the model hands them out. */
async function partsOf(model: Model, batch: TokenBatch, layer: number) {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { q, k, v, options } = model.record(rec, recordInputs(rec, batch)).attended.get(layer - 1)!;
  const given = { q, k, v };
  for (const [name, x] of Object.entries(given)) rec.output(name, x);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const read = async (x: "q" | "k" | "v") => ({ values: await program.read(x), width: given[x].shape.at(-1)! });
  const parts = { q: await read("q"), k: await read("k"), v: await read("v") };
  program.free();
  return { parts, options };
}

/** The loss in float64. */
async function exactRelations(
  [student, teacher]: readonly [Model, Model],
  batch: TokenBatch,
  heads: number,
  relations: "qkv" | "attention",
): Promise<number> {
  const [own, theirs] = [await partsOf(student, batch, 1), await partsOf(teacher, batch, 2)];
  const shared = { batch: batch.rows, t: batch.length, causal: true, segments: batch.segments };
  const counts = [...targetsOf(batch)].map((target) => target >= 0);
  const mean = (each: Float64Array) => {
    const kept = [...each].filter((_, i) => counts[i]);
    return kept.reduce((a, b) => a + b, 0) / kept.length;
  };
  const related = (part: "q" | "k" | "v") => {
    const maps = ({ parts }: typeof own) => {
      const { values, width } = parts[part];
      return exactMaps({ ...shared, heads, kvHeads: heads, d: width / heads }, values, values);
    };
    const each = exactDistance(maps(own), maps(theirs), batch.length, "kl");
    return mean(exactMean(each, batch.rows, heads));
  };
  if (relations === "qkv") return related("q") + related("k") + related("v");
  const attention = ({ parts, options: { heads, kvHeads, headDim: d } }: typeof own) =>
    exactMaps({ ...shared, heads, kvHeads, d }, parts.q.values, parts.k.values);
  const each = exactDistance(attention(own), attention(theirs), batch.length, "kl");
  return mean(exactMean(each, batch.rows, own.options.heads)) + related("v");
}

describe("relations of attention", () => {
  const method = minilm as never as DistillMethod;
  /** Other widths of everything, and another number of heads. */
  const NARROW: Json = { ...LLAMA, hidden_size: 16, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 4 };
  const SAME: Json = { ...LLAMA, hidden_size: 24 };

  async function withModels(jsons: readonly [Json, Json], use: (models: readonly [Model, Model]) => Promise<void>) {
    const [one, two] = jsons.map((json, i) => Model.fresh(gpu, json, "tiny", { seed: i + 1 }));
    const models = [await one!, await two!] as const;
    try {
      await use(models);
    } finally {
      for (const model of models) model.free();
    }
  }
  const run = ([model, teacher]: readonly [Model, Model], settings: Record<string, unknown>) =>
    lossOf(
      {
        ...{ model, method, settings: { layers: "1:2", ...settings }, weights: { distill: 1, labels: 0 } },
        teachers: [liveTeacher(teacher, model.sizes.outputs)],
      },
      packed,
    );

  test.each([
    ["other widths and heads", NARROW, 2, "qkv"],
    ["one relation head", NARROW, 1, "qkv"],
    ["attention and values, as many heads", SAME, 1, "attention"],
  ] as const)("%s: the loss in float64, and its slope", (_, json, heads, relations) =>
    withModels([json, LLAMA], async (models) => {
      const settings = { relation_heads: heads, relations };
      const { metrics, gradients } = await run(models, settings);
      const exact = await exactRelations(models, packed, heads, relations);
      expect(exact).toBeGreaterThan(0.003);
      expect(Math.abs(metrics.distill! / exact - 1)).toBeLessThan(2e-5);
      const length = Math.hypot(...gradients);
      expect(length).toBeGreaterThan(1e-3);
      const kept: Float32Array[] = [];
      for (const { buffer, size } of models[0].trainable()) kept.push(await gpu.readFloats(buffer, size));
      const at = async (by: number) => {
        let start = 0;
        for (const [i, parameter] of models[0].trainable().entries()) {
          const from = start;
          parameter.write(kept[i]!.map((w, j) => w + (by * gradients[from + j]!) / length));
          start += parameter.size;
        }
        return (await run(models, settings)).metrics.distill!;
      };
      const slope = ((await at(4e-3)) - (await at(-4e-3))) / 8e-3;
      expect(Math.abs(slope / length - 1)).toBeLessThan(1e-2);
    }),
  );

  test("equal models are no loss, recomputed or not", () =>
    withModels([LLAMA, LLAMA], async ([model]) => {
      const { metrics, gradients } = await run([model, model], { layers: "2:2" });
      expect(metrics.distill).toBeLessThan(1e-6);
      expect(Math.max(...gradients.map(Math.abs))).toBeLessThan(1e-5);
    }));

  test("heads that do not divide a width are refused", () =>
    withModels([NARROW, LLAMA], async (models) => {
      await expect(run(models, { relation_heads: 5 })).rejects.toThrow(
        "the student's queries are 16 wide, which does not cut into 5 relation heads",
      );
    }));
});
