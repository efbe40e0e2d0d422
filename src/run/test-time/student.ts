/**
 * A model that learns from the rows it answers: passes by several weights at once, one optimizer step a batch, a mean
 * teacher and the source beside it, and the way back to where the stream began.
 *
 * Norms over the batch go by the rows of the batch, which the running statistics follow while it learns.
 */
import { batchKey, type ExampleBatch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { NormStatistics } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import type { Objective } from "../training/objective.ts";
import { Trainer } from "../training/trainer.ts";
import type { UpdateRule } from "../training/update-rule.ts";
import type { Setting } from "./contract.ts";
import { type Wearing, WeightCopies } from "./weight-copies.ts";

/** What a pass gives. */
export interface Passed {
  /** (B, d), what the head reads. */
  readonly hidden: Tensor;
  /** (B, K) */
  readonly logits: Tensor;
}

/** What a step reads: views of rows, and numbers of rows. */
export interface StepGiven {
  readonly views: Readonly<Record<string, ExampleBatch>>;
  readonly numbers?: Readonly<Record<string, Float32Array>>;
  /** Numbers of this run alone. */
  readonly values?: Readonly<Record<string, number>>;
  /** In the place of the learning rate. */
  readonly rate?: number;
}

/** What a loss is recorded of. */
export interface LossGiven {
  /** Whether the step has a view. */
  sees(view: string): boolean;
  /** Rows of a view. */
  rows(view: string): number;
  /** A pass over a view by the student, or by other weights. */
  pass(view: string, by?: Wearing): Passed;
  /** Labels of a view, (B) i32. */
  labels(view: string): Tensor;
  /** Whether the step has numbers of this name. */
  has(name: string): boolean;
  number(name: string, shape: readonly number[]): Tensor;
}

export interface StudentOptions {
  /** The loss of a step, (1). */
  loss(rec: Recorder, given: LossGiven): Tensor;
  /** Trained beside the model. */
  readonly extra?: readonly Parameter[];
  /** Whether a moving average of the weights is kept. */
  readonly teacher?: true;
  /** Whether the weights before the stream are kept. */
  readonly source?: true;
  /** Weights that the student passes with, and those that the teacher does, where they are no copies. */
  readonly wearing?: Wearing;
  readonly worn?: Wearing;
  readonly updates?: readonly UpdateRule[];
  /** Times the learning rate. */
  readonly rateOf?: (parameter: Parameter) => number;
}

const prefixOf = (view: string): string => `${view}: `;

/** Records a pass over rows that `prefix` names. */
function recordPass(
  rec: Recorder,
  model: Model,
  batch: ExampleBatch,
  { prefix, by, statistics }: { prefix: string; by: Wearing | undefined; statistics: NormStatistics },
): Passed {
  const record = () => {
    const { hidden, head } = model.record(rec, recordInputs(rec, batch, prefix), { statistics });
    return { hidden, logits: head(hidden) };
  };
  return by ? rec.standingIn(by(rec), record) : record();
}

/** Answers of several weights to the same rows. */
export class Answers {
  readonly #model: Model;
  readonly #programs: Programs;
  readonly #ways: Readonly<Record<string, Wearing | undefined>>;
  readonly #statistics: NormStatistics;

  /** `ways`: the weights of each answer by a name; undefined for the model's own. */
  constructor(model: Model, ways: Readonly<Record<string, Wearing | undefined>>, statistics: NormStatistics = "rows") {
    this.#model = model;
    this.#ways = ways;
    this.#statistics = statistics;
    this.#programs = new Programs(model.gpu);
  }

  /** Logits (B, K) and features (B, d) by `names` of the ways. */
  async of(
    batch: ExampleBatch,
    names: readonly string[],
    values: Readonly<Record<string, number>> = {},
  ): Promise<ReadonlyMap<string, { readonly logits: Float32Array; readonly hidden: Float32Array }>> {
    const { program } = await this.#programs.get(`${names.join()} ${batchKey(batch)}`, (rec) => {
      for (const name of names) {
        const given = { prefix: "", by: this.#ways[name], statistics: this.#statistics };
        const { hidden, logits } = recordPass(rec, this.#model, batch, given);
        rec.output(`logits ${name}`, logits);
        rec.output(`hidden ${name}`, hidden);
      }
    });
    fillInputs(program, batch);
    program.run({ ...values, seed: 0 });
    const read = names.map(async (name) => {
      const [logits, hidden] = await Promise.all([program.read(`logits ${name}`), program.read(`hidden ${name}`)]);
      return [name, { logits, hidden }] as const;
    });
    return new Map(await Promise.all(read));
  }

  free(): void {
    this.#programs.free();
  }
}

/** The steps' objective: views of one name and shape share a program. */
function objectiveOf({ model }: Setting, { loss, wearing }: StudentOptions): Objective<StepGiven> {
  const first = ({ views }: StepGiven) => Object.values(views)[0]!;
  return {
    name: "stream",
    key: ({ views, numbers = {} }) =>
      [...Object.entries(views).map(([name, batch]) => `${name} ${batchKey(batch)}`), ...Object.keys(numbers)].join(),
    record(rec, { views, numbers = {} }) {
      const one = rec.constant(Float32Array.of(1), [1], "one");
      const passed = new Set<string>();
      const found = loss(rec, {
        sees: (view) => views[view] !== undefined,
        rows: (view) => views[view]!.rows,
        labels: (view) => recordTargets(rec, views[view]!, prefixOf(view)),
        has: (name) => numbers[name] !== undefined,
        number: (name, shape) => rec.input(name, shape),
        pass(view, by) {
          // The running statistics follow the rows of the stream as they are, once.
          const statistics = view === "x" && !by && !passed.has(view) ? "batch" : "rows";
          if (!by) passed.add(view);
          const given = { prefix: prefixOf(view), by: by ?? wearing, statistics } as const;
          return recordPass(rec, model, views[view]!, given);
        },
      });
      return { backward: [[found, one]], metrics: { loss: rec.reshape(found, [1]) } };
    },
    fill(program, { views, numbers = {} }) {
      for (const [name, batch] of Object.entries(views)) {
        fillInputs(program, batch, prefixOf(name));
        if (program.takes(`${prefixOf(name)}targets`)) fillTargets(program, batch, prefixOf(name));
      }
      for (const [name, values] of Object.entries(numbers)) if (program.takes(name)) program.write(name, values);
    },
    counted: (given) => first(given).rows,
    size: (given) => first(given).rows,
  };
}

/** A copy of memory that can be put back. */
interface Held {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  readonly copy: PooledBuffer;
}

export class Student {
  readonly setting: Setting;
  /** What is trained of the model, and what is trained beside it. */
  readonly parameters: readonly Parameter[];
  readonly answers: Answers;
  readonly #teacher: WeightCopies | undefined;
  readonly #source: WeightCopies | undefined;
  readonly #trainer: Trainer<StepGiven>;
  #held: readonly Held[] = [];
  #steps = 0;
  #markedSteps = 0;

  private constructor(
    setting: Setting,
    options: StudentOptions,
    parts: {
      readonly parameters: readonly Parameter[];
      readonly trainer: Trainer<StepGiven>;
      readonly teacher: WeightCopies | undefined;
      readonly source: WeightCopies | undefined;
    },
  ) {
    this.setting = setting;
    this.parameters = parts.parameters;
    this.#trainer = parts.trainer;
    this.#teacher = parts.teacher;
    this.#source = parts.source;
    const { model } = setting;
    this.answers = new Answers(model, {
      student: options.wearing,
      teacher: options.worn ?? parts.teacher?.wearing,
      source: parts.source?.wearing,
    });
  }

  /** Begins at the model as it is. `optionsOf` makes the options, which may need the copies of the weights. */
  static async make(
    setting: Setting,
    optionsOf: (copies: { teacher(): WeightCopies; source(): WeightCopies }) => StudentOptions,
  ): Promise<Student> {
    const { gpu, model, optimizer, seed } = setting;
    let [teacher, source]: (WeightCopies | undefined)[] = [];
    const need = (copies: WeightCopies | undefined, what: string): WeightCopies => {
      if (!copies) throw new Error(`this student keeps no ${what}`);
      return copies;
    };
    const options = optionsOf({ teacher: () => need(teacher, "teacher"), source: () => need(source, "source") });
    const parameters = [...model.trainable(), ...(options.extra ?? [])];
    if (options.teacher) teacher = new WeightCopies(gpu, parameters, "teacher of");
    if (options.source) source = new WeightCopies(gpu, parameters, "source of");
    const trainer = await Trainer.make<StepGiven>({
      ...{ gpu, parameters, objective: objectiveOf(setting, options), seed, optimizer, clip: 0 },
      ...{ decays: () => false, updates: options.updates ?? [], rateOf: options.rateOf },
    });
    const student = new Student(setting, options, { parameters, trainer, teacher, source });
    student.mark();
    return student;
  }

  get teacher(): WeightCopies {
    if (!this.#teacher) throw new Error("this student keeps no teacher");
    return this.#teacher;
  }

  get source(): WeightCopies {
    if (!this.#source) throw new Error("this student keeps no source");
    return this.#source;
  }

  /** One step. Throws UserError where the gradients are not finite. */
  async step({ rate = this.setting.rate, ...given }: StepGiven): Promise<void> {
    const { result } = await this.#trainer.step(++this.#steps, rate, [given], given.values ?? {});
    const { gradNorm } = await result;
    if (!Number.isFinite(gradNorm))
      throw new UserError(
        `the gradients of step ${this.#steps} are not finite (rate ${rate})`,
        "a smaller --lr, or weights of the source that are not finite",
        1,
      );
  }

  /** From here on `reset` comes back to where the student is now. */
  mark(): void {
    const { gpu, model } = this.setting;
    this.#drop();
    this.#markedSteps = this.#steps;
    const weights = [...this.parameters, ...model.running(), ...(this.#teacher?.of.values() ?? [])];
    const places = [
      ...weights.map(({ buffer, bytes, name }) => ({ buffer, bytes, name })),
      ...this.#trainer.updater.states().map(({ buffer, bytes, name }) => ({ buffer, bytes, name })),
    ];
    this.#held = places.map(({ buffer, bytes, name }) => {
      const whole = Math.ceil(bytes / 4) * 4;
      const copy = gpu.buffer(Math.max(16, whole), `${name} before the stream`);
      gpu.copy(buffer, 0, copy.buffer, 0, whole);
      return { buffer, bytes: whole, copy };
    });
  }

  reset(): void {
    for (const { buffer, bytes, copy } of this.#held) this.setting.gpu.copy(copy.buffer, 0, buffer, 0, bytes);
    this.#steps = this.#markedSteps;
  }

  #drop(): void {
    for (const { copy } of this.#held) copy.free();
    this.#held = [];
  }

  free(): void {
    this.#drop();
    this.answers.free();
    this.#trainer.free();
    this.#teacher?.free();
    this.#source?.free();
  }
}
