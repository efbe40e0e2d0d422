/** Any objective of unlearning in its frame, on a tiny model that knows half by heart four rows of each set. */
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { targetsOf } from "../../src/data/targets.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { untrainedModel } from "../../src/run/untrained.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import type { UnlearnBatch } from "../../src/unlearn/batches.ts";
import type { ForgetSet, Supply } from "../../src/unlearn/capability.ts";
import type { UnlearnObjective } from "../../src/unlearn/contract.ts";
import { likelihoods } from "../../src/unlearn/likelihoods.ts";
import { unlearnObjective } from "../../src/unlearn/objective.ts";
import { WantedAnswers } from "../../src/unlearn/wanted-answers.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

export type Part = "forget" | "retain" | "pd";
/** Steps in which all rows of a set go by. */
const PASSES = { forget: 2, retain: 2 };
export const ALL = [[0, 1, 2, 3]];

const sequence = (seed: number, length: number, from: number) => {
  const ids = Int32Array.from({ length }, (_, i) => (7 * i + 11 * seed + i * i) % 50);
  return { ids, labels: ids.map((id, i) => (i < from ? -100 : id)), group: 0, place: `${seed}` };
};
type Rows = readonly ReturnType<typeof sequence>[];
const FORGET: Rows = [sequence(1, 9, 3), sequence(2, 15, 1), sequence(3, 12, 10), sequence(4, 6, 2)];
const RETAIN: Rows = [sequence(5, 8, 2), sequence(6, 11, 5), sequence(7, 9, 3), sequence(8, 14, 7)];
const WANTED: Rows = [sequence(9, 7, 3), sequence(10, 7, 1), sequence(11, 12, 10), sequence(12, 4, 2)];

/** Steps of descent on all rows to know them half by heart. */
const [STEPS, DISTANCE] = [40, 0.15];

/** Teaches a model rows by steps of one length along the gradient. */
async function learn(gpu: Gpu, model: Model, rows: Rows): Promise<void> {
  const objective = crossEntropyObjective(model);
  const batch = collate(rows.map((row) => [row]));
  const rec = new Recorder(profileOf(gpu));
  rec.backward(objective.record(rec, batch, "").backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  for (let step = 0; step < STEPS; step++) {
    program.run({ accumulate: 0, seed: 0 });
    const gradients = new Map<string, Float32Array>();
    for (const { name, gradient, size } of model.trainable()) gradients.set(name, await gpu.readFloats(gradient, size));
    const length = lengthOf(gradients);
    for (const parameter of model.trainable()) {
      const weights = await gpu.readFloats(parameter.buffer, parameter.size);
      const g = gradients.get(parameter.name)!;
      parameter.write(weights.map((w, i) => w - (DISTANCE * g[i]!) / length));
    }
  }
  program.free();
}

export const sumOf = (x: readonly number[]) => x.reduce((a, b) => a + b, 0);

export interface PartRun {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly part: Part;
  /** Rows of each micro-batch. */
  readonly batches?: readonly (readonly number[])[];
  /** Weight of the part. */
  readonly weight?: number;
  /** Added to theta0's likelihoods. */
  readonly shift?: number;
  /** Numbers of the step; those of the first when left out. */
  readonly numbers?: Readonly<Record<string, number>>;
}

export class Frame {
  readonly model: Model;
  /** nll of the tokens that count, row by row. */
  readonly nll: Readonly<Record<"forget" | "retain" | "wanted", readonly (readonly number[])[]>>;
  readonly #gpu: Gpu;
  readonly #original: ReturnType<typeof liveTeacher>;
  readonly #untrained: ReturnType<typeof liveTeacher>;

  private constructor(
    gpu: Gpu,
    model: Model,
    { original, untrained }: Record<"original" | "untrained", Model>,
    nll: Frame["nll"],
  ) {
    this.#gpu = gpu;
    this.model = model;
    this.nll = nll;
    this.#original = liveTeacher(original, model.sizes.outputs);
    this.#untrained = liveTeacher(untrained, model.sizes.outputs);
  }

  static async make(gpu: Gpu): Promise<Frame> {
    const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 1 });
    await learn(gpu, model, [...FORGET, ...RETAIN]);
    const scorer = new Scorer(model);
    const score = async (rows: Rows): Promise<number[][]> => {
      const found: number[][] = [];
      for (const row of rows) {
        const batch = collate([[row]]);
        const { nll } = await scorer.score(batch);
        const targets = targetsOf(batch);
        found.push([...nll].filter((_, i) => targets[i]! >= 0));
      }
      return found;
    };
    const nll = { forget: await score(FORGET), retain: await score(RETAIN), wanted: await score(WANTED) };
    return new Frame(
      gpu,
      model,
      { original: await model.frozenCopy(), untrained: await untrainedModel(model, 0) },
      nll,
    );
  }

  /** Each capability's supply, whose model as it was is this one with its likelihoods shifted. */
  #supplies({ needs = [] }: UnlearnObjective, shift: number): Promise<Supply[]> {
    return Promise.all(
      needs.map(async ({ name }) => {
        const sums = (rows: readonly (readonly number[])[], more: number) => rows.map((row) => sumOf(row) + more);
        if (name === likelihoods.name) {
          const supply = await likelihoods.supply({}, {} as ForgetSet);
          supply.load(sums(this.nll.forget, shift));
          return supply;
        }
        const answers = new WantedAnswers(WANTED, 0);
        answers.load(sums(this.nll.wanted, 0));
        return answers;
      }),
    );
  }

  #batch(rows: readonly number[]): UnlearnBatch {
    const of = (from: Rows): TokenBatch => collate(rows.map((i) => [from[i]!]));
    return {
      forget: of(FORGET),
      retain: of(RETAIN),
      pd: of(WANTED),
      rows,
    };
  }

  /** Metrics and gradients of one part over micro-batches. */
  async run(
    method: UnlearnObjective,
    { settings, part, batches = ALL, weight = 1, shift = 0, numbers }: PartRun,
  ): Promise<{ metrics: Record<string, number>; gradients: Map<string, Float32Array> }> {
    const { model } = this;
    const gpu = this.#gpu;
    const chosen = bindDefaults(method, settings);
    const parameters = model.trainable();
    const { values } = chosen;
    const adaptive = method.adaptive?.({
      values,
      weights: { forget: weight, retain: weight },
      steps: 9,
      perEpoch: 2,
      passes: PASSES,
    });
    const objective = unlearnObjective({
      model,
      chosen,
      supplies: await this.#supplies(method, shift),
      retain: method.retain ?? "nll",
      original: this.#original,
      untrained: this.#untrained,
      parts: ["forget", "retain", "pd"],
      recompute: false,
      seed: 4,
    });
    const given = batches.map((rows) => this.#batch(rows));
    const total = sumOf(given.map((batch) => objective.counted(batch, part)));
    const metrics: Record<string, number> = {};
    for (const parameter of parameters) gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
    for (const batch of given) {
      const rec = new Recorder(profileOf(gpu));
      const recorded = objective.record(rec, batch, part);
      for (const [name, value] of Object.entries(recorded.metrics)) rec.output(name, value);
      rec.backward(recorded.backward);
      const program = await Program.compile(gpu, rec);
      objective.fill(program, batch, total, part);
      const weights = {
        forget_weight: weight,
        retain_weight: weight,
        pd_weight: weight,
        ...(numbers ?? adaptive?.values(1)),
      };
      program.run({ ...weights, accumulate: 1, seed: 0 });
      for (const name of Object.keys(recorded.metrics))
        metrics[name] = (metrics[name] ?? 0) + (await program.read(name))[0]!;
      program.free();
    }
    const gradients = new Map<string, Float32Array>();
    for (const { name, gradient, size } of model.trainable()) gradients.set(name, await gpu.readFloats(gradient, size));
    return { metrics, gradients };
  }

  /** Changes the weights while `work` runs. */
  async with<T>(change: (weights: Float32Array, name: string) => Float32Array, work: () => Promise<T>): Promise<T> {
    const kept: [(weights: Float32Array) => void, Float32Array][] = [];
    for (const parameter of this.model.trainable()) {
      const weights = await this.#gpu.readFloats(parameter.buffer, parameter.size);
      kept.push([(values) => parameter.write(values), weights]);
      parameter.write(change(weights, parameter.name));
    }
    try {
      return await work();
    } finally {
      for (const [write, weights] of kept) write(weights);
    }
  }

  free(): void {
    this.model.free();
    this.#original.free();
    this.#untrained.free();
  }
}

export const lengthOf = (gradients: ReadonlyMap<string, Float32Array>): number =>
  Math.sqrt(sumOf([...gradients.values()].map((g) => g.reduce((sum, x) => sum + x * x, 0))));

/** Mean over all tokens of a loss of their nll. */
export const tokenMean = (rows: readonly (readonly number[])[], loss: (nll: number) => number): number =>
  sumOf(rows.flat().map(loss)) / rows.flat().length;
