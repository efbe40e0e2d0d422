/** What experiments of distillation share: learning from a teacher in this process, and what a model then believes. */
import { type Batch, stackExamples } from "../../src/data/batch.ts";
import { Random } from "../../src/data/random.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { Split, Task } from "../../src/data/task.ts";
import { method as markov } from "../../src/data/tasks/markov.ts";
import type { BatchesGiven } from "../../src/distill/capability.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { distillObjective } from "../../src/distill/objective.ts";
import type { HowSampled } from "../../src/distill/sampled.ts";
import { extraParameters } from "../../src/distill/training.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { liveTeacher, type Teacher } from "../../src/run/teachers/teacher.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { partsOf, weightsOf } from "../distill/parts.ts";
import { settingsOf } from "../distill/rows.ts";

export type AnyBatch = Batch;
export interface Source {
  next(): { readonly batch: AnyBatch } | Promise<{ readonly batch: AnyBatch }>;
}

export interface Lesson {
  readonly method: DistillMethod;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** None: the labels alone. */
  readonly teachers?: readonly (Model | Teacher)[];
  readonly data: Source;
  readonly steps: number;
  /** Falls to 0 along a cosine. */
  readonly lr: number;
  readonly seed?: number;
  readonly weights?: { readonly distill?: number; readonly labels?: number };
  readonly online?: boolean;
  /** How answers are written, of methods whose batches are such; `data` has the prompts. */
  readonly answering?: HowSampled;
}

/** Trains the student as the script does, without files. Gives the metrics of every step. */
export async function learn(student: Model, lesson: Lesson): Promise<Record<string, number>[]> {
  const { method, steps, lr, seed = 0, online = false, answering } = lesson;
  const { gpu } = student;
  const chosen = bindDefaults(method, { ...lesson.settings, ...(online ? { online, teacher_out: "nowhere" } : {}) });
  const { values } = chosen;
  const models = (lesson.teachers ?? []).filter((teacher): teacher is Model => "parameters" in teacher);
  const teachers = (lesson.teachers ?? []).map((teacher) =>
    "parameters" in teacher ? liveTeacher(teacher, Math.min(teacher.sizes.outputs, student.sizes.outputs)) : teacher,
  );
  const alone = teachers.length === 0;
  const specs = alone
    ? []
    : (method.extra?.({ student: student.sizes, teacher: teachers[0]?.sizes, teachers: teachers.length, values }) ??
      []);
  const extra = extraParameters(gpu, specs, seed);
  const weights = alone ? { distill: 0, labels: 1 } : weightsOf(method, lesson.weights);
  const parts = alone ? [] : partsOf(chosen, weights);
  const own = [...student.trainable(), ...extra.values()];
  const trainer = await Trainer.make({
    gpu,
    parameters: [...own, ...(online ? models[0]!.trainable() : [])],
    objective: distillObjective({ model: student, chosen, teachers, extra, weights, parts }),
    updates: parts.flatMap((part) => part.updates?.(gpu, own) ?? []),
    seed,
    optimizer: bindDefaults(optimizer, { weight_decay: 0 }),
    decays: () => false,
    clip: 0,
  });
  const adaptive = alone ? undefined : method.adaptive?.({ values, steps, teachers: teachers.length });
  const given = {
    ...{ student, teacher: models[0], seed, batches: steps, accumulate: 1 },
    tools: { tokenizer: undefined, encode: { maxLength: student.sizes.maxPositions }, files: new Map() },
    options: answering,
  };
  const writes = answering && parts.find(({ batches }) => batches);
  const written = writes && writes.batches!(lesson.data as never, given as never as BatchesGiven);
  const data = written?.source ?? lesson.data;
  const heard: Record<string, number>[] = [];
  for (let step = 1; step <= steps; step++) {
    const { batch } = await data.next();
    for (const teacher of teachers) await teacher.prepare?.(batch);
    const rate = (lr * (1 + Math.cos((Math.PI * (step - 1)) / steps))) / 2;
    const { result } = await trainer.step(step, rate, [batch], adaptive?.values(step));
    const { metrics, gradNorm } = await result;
    adaptive?.heard?.(metrics, step);
    heard.push({ ...metrics, gradient: gradNorm });
  }
  trainer.free();
  await written?.free?.();
  for (const parameter of extra.values()) parameter.free();
  return heard;
}

/** Rows of token ids as sequences. */
export const sequencesOf = (rows: readonly (readonly number[])[]): Sequence[] =>
  rows.map((row, i) => {
    const ids = Int32Array.from(row);
    return { ids, labels: ids, group: 0, place: `row ${i + 1}` };
  });

/** Token rows in batches, in an order that the seed decides. */
export const rowsOf = (sequences: readonly Sequence[], batchSize: number, seed = 0) =>
  sequenceBatches(
    {
      sequences,
      groups: [
        {
          name: "data",
          rows: sequences.length,
          tokens: sequences.reduce((sum, { ids }) => sum + ids.length, 0),
          lengths: Int32Array.from(sequences, ({ ids }) => ids.length),
        },
      ],
    } as never,
    { batchSize, seed, shuffle: true, dropLast: true },
  );

export interface Point {
  readonly x: Float32Array;
  readonly shape: readonly number[];
  readonly label: number;
}

/** Labelled examples in batches, drawn with replacement. */
export function pointsOf(points: readonly Point[], batchSize: number, seed = 0): Source {
  const random = new Random(seed, "points");
  const draw = () => points[random.below(points.length)]!;
  return { next: () => ({ batch: stackExamples(Array.from({ length: batchSize }, draw)) }) };
}

/** Examples of a task. */
export function taskPoints(
  task: Task,
  seed: number,
  count: number,
  options: Readonly<Record<string, unknown>>,
  split: Split,
): Point[] {
  const source = task.open({ seed, split }, settingsOf(task.options, options) as never);
  return Array.from({ length: count }, (_, i) => {
    const { x, label } = source.row(i) as { x: number[]; label: number };
    return { x: Float32Array.from(x), shape: [x.length], label };
  });
}

/** A second model with the same weights, which can be trained. */
export async function copyOf(model: Model): Promise<Model> {
  const copy = await Model.fresh(model.gpu, model.json, "copy", { seed: 0 });
  for (const [name, { buffer, size }] of model.parameters)
    copy.parameters.get(name)!.write(await model.gpu.readFloats(buffer, size));
  return copy;
}

/** Rows of a Markov language, as ids. */
export function markovRows(
  seed: number,
  count: number,
  options: Readonly<Record<string, unknown>>,
  split: "train" | "test" = "train",
): Sequence[] {
  const source = markov.open({ seed, split }, settingsOf(markov.options, { form: "ids", ...options }) as never);
  return sequencesOf(Array.from({ length: count }, (_, i) => source.row(i).input_ids as number[]));
}

/** Distributions of every row that counts, and what was to be predicted there. */
export interface Beliefs {
  readonly p: readonly Float64Array[];
  readonly targets: readonly number[];
}

export async function beliefs(model: Model, batch: AnyBatch): Promise<Beliefs> {
  const rec = new Recorder(profileOf(model.gpu), { training: false });
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(model.gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = await program.read("logits");
  program.free();
  const v = model.sizes.outputs;
  const targets = targetsOf(batch);
  const counted = [...targets.keys()].filter((i) => targets[i]! >= 0);
  return {
    p: counted.map((i) => softmax(logits.subarray(i * v, (i + 1) * v))),
    targets: counted.map((i) => targets[i]!),
  };
}

function softmax(z: Float32Array): Float64Array {
  const most = z.reduce((a, b) => Math.max(a, b));
  const p = Float64Array.from(z, (x) => Math.exp(x - most));
  const total = p.reduce((a, b) => a + b);
  return p.map((x) => x / total);
}

export const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const kl = (a: Float64Array, b: Float64Array) =>
  a.reduce((sum, x, v) => (x > 0 ? sum + x * (Math.log(x) - Math.log(Math.max(b[v]!, 1e-300))) : sum), 0);

/** How two models' distributions differ, as means over rows: p the first's, q the second's. */
export function compare(first: Beliefs, second: Beliefs) {
  const rows = <T>(of: (p: Float64Array, q: Float64Array) => T) => first.p.map((p, i) => of(p, second.p[i]!));
  const jensen = (p: Float64Array, q: Float64Array) => {
    const middle = p.map((x, v) => (x + q[v]!) / 2);
    return (kl(p, middle) + kl(q, middle)) / 2;
  };
  return {
    forward: mean(rows(kl)),
    reverse: mean(rows((p, q) => kl(q, p))),
    jensen: mean(rows(jensen)),
    variation: mean(rows((p, q) => p.reduce((sum, x, v) => sum + Math.abs(x - q[v]!) / 2, 0))),
  };
}

/** Mean -log probability of what came. */
export const nll = ({ p, targets }: Beliefs) => mean(p.map((row, i) => -Math.log(row[targets[i]!]!)));

export const entropy = ({ p }: Beliefs) =>
  mean(p.map((row) => row.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0)));

const likeliest = (row: Float64Array) => row.indexOf(row.reduce((a, b) => Math.max(a, b)));

export const accuracy = ({ p, targets }: Beliefs) => mean(p.map((row, i) => (likeliest(row) === targets[i] ? 1 : 0)));

/** Expected calibration error over ten bins of confidence. Guo et al. 2017, https://arxiv.org/abs/1706.04599 */
export function calibrationError({ p, targets }: Beliefs): number {
  const gaps = new Float64Array(10);
  for (const [i, row] of p.entries()) {
    const guess = likeliest(row);
    const bin = Math.min(9, Math.floor(row[guess]! * 10));
    gaps[bin]! += (guess === targets[i] ? 1 : 0) - row[guess]!;
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / p.length;
}
