/** What the `distill` script does: models and data from the command line, then the training loop with a method's loss. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { lineageOf, type Read } from "../checkpoint/lineage/input.ts";
import { open } from "../checkpoint/open.ts";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import { flagOf } from "../cli/parse.ts";
import type { TokenBatch } from "../data/batch.ts";
import { loadSequences } from "../data/dataset.ts";
import { UserError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { keyedNormals } from "../model/fresh.ts";
import { configOf, Model } from "../model/model.ts";
import { architectureOf } from "../model/registry.ts";
import { saveModel } from "../model/save.ts";
import {
  baseTeacher,
  cachedTeacher,
  foreignTeacher,
  liveTeacher,
  type OtherTokens,
  type Teacher,
} from "../run/teachers/teacher.ts";
import { TeacherCache, writeCache } from "../run/teachers/teacher-cache.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { groupsOf, textTools } from "../run/training/data-source.ts";
import { GradientAlignment } from "../run/training/gradient-alignment.ts";
import { type DataSetup, runTraining, type Work, type WorkSetup } from "../run/training/training.ts";
import { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";
import { batchesOf } from "../train/command.ts";
import type { Adaptive, DistillMethod } from "./contract.ts";
import { type DistillBatch, distillObjective } from "./objective.ts";
import type { DISTILL } from "./options.ts";
import { otherTokens } from "./same-places.ts";
import { sampledBatches } from "./sampled.ts";
import { commonVocabulary } from "./vocabulary.ts";

export type DistillContext = PlainContext & {
  readonly options: CommonValues & Values<typeof DISTILL>;
  readonly method: MethodInfo | undefined;
};

export async function distill(context: DistillContext): Promise<Outcome> {
  if (context.args[0] === "cache") return cache(context);
  const run = new Distillation(context);
  context.onExit(() => run.close());
  return runTraining<DistillBatch>(context, {
    script: "distill",
    method: run.method.name,
    model: run.student,
    role: "student",
    read: () => run.read(),
    data: (setup) => run.data(setup),
    work: (setup) => run.work(setup),
  });
}

/** Throws UserError unless the method takes so many teachers. */
function checkTeachers({ name, teachers: [least, most] = [1, 1] }: DistillMethod, count: number): void {
  if (count === 0 && least > 0) throw new UserError("no teacher was named", "give --teacher MODEL, or --cache FILE");
  if (count >= least && count <= most) return;
  throw new UserError(
    `${name} takes ${least === most ? least : `${least} to ${most}`} teachers, got ${count}`,
    count < least
      ? "give --teacher once for each, or take --method kd for one"
      : most === 1
        ? "several teachers: --method mtard"
        : "leave some out",
  );
}

/** What one run of distillation holds between reading its options and training. */
class Distillation {
  readonly method: DistillMethod;
  readonly student: string | undefined;
  readonly #context: DistillContext;
  readonly #refs: readonly string[];
  readonly #checkpoints: Checkpoint[] = [];
  #cache: TeacherCache | undefined;
  #common = 0;
  /** Batches as the teacher's own tokenizer has them. */
  #others: ((batch: TokenBatch) => OtherTokens) | undefined;
  /** Whose samples are trained on; models are known only later. */
  readonly #samplers = new Map<"teacher" | "student", Model>();

  constructor(context: DistillContext) {
    const { options, settings } = context;
    const method = context.method as DistillMethod;
    this.#context = context;
    this.method = method;
    method.check?.(settings as never);
    const named = [...(options.teacher ?? []), ...context.args];
    const alone = named.length === 0 && options.cache === undefined && (options.student ?? options.init) !== undefined;
    this.#refs = alone ? ["-"] : named;
    this.student = options.student ?? (options.init === undefined ? "-" : undefined);
    if (options.student !== undefined && options.init !== undefined)
      throw new UserError("both --student and --init say what learns", "give one of them");
    if (this.student === "-" && this.#refs.includes("-"))
      throw new UserError("student and teacher are both read from stdin", "name one of them");
    if (options.cache !== undefined && named.length > 0)
      throw new UserError("both --teacher and --cache say what to learn from", "give one of them");
    if (options.cache !== undefined && !method.sparse)
      throw new UserError(`${method.name} needs the whole distribution; a cache holds the top k`, "give --teacher");
    checkTeachers(method, options.cache === undefined ? this.#refs.length : 1);
    if (method.vocabularies && this.#refs[0] === "self")
      throw new UserError(
        `${method.name} is for a teacher with another tokenizer`,
        "take --method kd for --teacher self",
      );
    if (options.online && !method.teacherRows)
      throw new UserError(
        `${method.name} does not train the teacher`,
        "leave out --online, or take --method bd-kd or competitive",
      );
    if (options.teacher_out !== undefined && !options.online)
      throw new UserError("--teacher-out means nothing without --online", "give both or neither");
    if ("top" in context.chosen)
      throw new UserError("--top means nothing without distill cache", "a cache is read with all that it holds");
    if (options.online && (this.#refs[0] === "self" || options.teacher_out === undefined))
      throw new UserError(
        "--online needs a teacher of its own and --teacher-out",
        "say where the trained teacher goes",
      );
  }

  read(): Read[] {
    const teachers = this.#checkpoints.map((checkpoint) => ({ checkpoint, role: "teacher" }));
    return this.#cache ? [...teachers, { checkpoint: this.#cache.checkpoint, role: "cache" }] : teachers;
  }

  /** Opens the teachers (headers only), checks that vocabularies agree, and reads the data. */
  async data(setup: DataSetup): Promise<BatchSource<DistillBatch>> {
    const { options, seed } = this.#context;
    const { tools, sizes, ref } = setup;
    this.#common = sizes.outputs;
    if (options.cache !== undefined) {
      if (!tools) throw new UserError("a cache is for language models", "give --teacher");
      this.#cache = await TeacherCache.open(options.cache);
      if (this.#cache.vocabulary !== sizes.outputs)
        throw new UserError(
          `${options.cache} was written for a vocabulary of ${this.#cache.vocabulary}; ${ref} has ${sizes.outputs}`,
          "write it with a teacher of the student's vocabulary, or give --teacher",
        );
      if (options.pack) throw new UserError("--pack with --cache: rows are looked up whole", "leave out --pack");
    }
    for (const name of this.#refs) {
      if (name === "self") continue;
      const checkpoint = await open(name, { warn: (text) => this.#context.warn(text) });
      this.#checkpoints.push(checkpoint);
      const where = `${checkpoint.ref}: config.json`;
      const json = configOf(checkpoint);
      const architecture = await architectureOf(json, where);
      if (architecture.task !== setup.task)
        throw new UserError(`the teacher ${checkpoint.ref} is a ${architecture.task}, the student a ${setup.task}`);
      const teacher = architecture.sizes(architecture.config(json, where)).outputs;
      if (this.method.vocabularies) {
        this.#others = await this.#otherTokens(checkpoint, architecture.sizes(architecture.config(json, where)), setup);
      } else if (tools) {
        const student = { ref, outputs: sizes.outputs, files: tools.files };
        const other = { ref: checkpoint.ref, outputs: teacher, files: checkpoint.files };
        const common = commonVocabulary(student, other, (text) => this.#context.info(text));
        this.#common = Math.min(this.#common, common);
      } else if (!this.method.states && teacher !== sizes.outputs) {
        throw new UserError(
          `${ref} has ${sizes.outputs} classes, the teacher ${checkpoint.ref} ${teacher}`,
          "set num_labels in config.json, or take --method hidden",
        );
      }
    }
    const plain = await batchesOf(this.#context, setup);
    if (this.#cache && "data" in plain) this.#cache.check(plain.data.sequences);
    let batches = plain as BatchSource<TokenBatch>;
    const given = options.teacher_samples ?? (this.method.samples === "teacher" ? 1 : 0);
    if (tools) {
      const drawn = {
        seed,
        temperature: options.sample_temperature,
        maxTokens: options.sample_tokens,
        promptTokens: options.prompt_tokens,
        maxLength: tools.encode.maxLength!,
        pad: tools.tokenizer?.pad ?? 0,
        eos: tools.tokenizer?.eos,
      };
      for (const [share, whose] of [
        [given, "teacher"],
        [options.on_policy, "student"],
      ] as const) {
        if (share === 0) continue;
        if (options.pack) throw new UserError("--pack and samples do not go together", "leave out --pack");
        if (options.cache !== undefined)
          throw new UserError("a cached teacher cannot answer samples", "give --teacher, or leave out --on-policy");
        if (whose === "teacher" && this.#others)
          throw new UserError(
            "a teacher with another tokenizer does not answer in the student's tokens",
            "let it write text with bun run sample, and bun run train on it",
          );
        if (whose === "teacher" && this.#isBase(this.#refs[0]!))
          throw new UserError("the base under an adapter does not sample", "name it: --teacher MODEL");
        batches = sampledBatches(batches, () => this.#samplers.get(whose)!, { ...drawn, whose, share });
      }
    } else if (options.on_policy > 0 || given > 0)
      throw new UserError("a classifier samples nothing", "leave out --on-policy and --teacher-samples");
    const attach = async (batch: TokenBatch): Promise<DistillBatch> =>
      this.#cache
        ? { batch, cached: await this.#cache.rows(batch) }
        : this.#others
          ? { batch, other: this.#others(batch) }
          : { batch };
    return {
      groups: plain.groups,
      batchesPerEpoch: plain.batchesPerEpoch,
      largest: () => {
        const batch = batches.largest();
        return this.#others ? { batch, other: this.#others(batch) } : { batch };
      },
      async next() {
        const { batch, epoch } = await batches.next();
        return { batch: await attach(batch), epoch };
      },
      state: () => plain.state(),
      load: (state, what) => plain.load(state, what),
    };
  }

  /** How the teacher reads the student's texts. */
  async #otherTokens(teacher: Checkpoint, sizes: ModelSizes, { tools, ref }: DataSetup) {
    if (!tools) throw new UserError(`${this.method.name} is for language models`, "take --method hidden");
    const other = await textTools(teacher.files, teacher.ref, sizes, {});
    const nameless = tools.tokenizer ? teacher.ref : ref;
    if (!tools.tokenizer || !other.tokenizer)
      throw new UserError(
        `${nameless} has no tokenizer, and the same places of a text are found by those of both`,
        tools.tokenizer ? "add its tokenizer.json" : "add its tokenizer.json, or give --tokenizer",
      );
    return otherTokens({ own: tools.tokenizer, other: other.tokenizer, maxLength: other.encode.maxLength! });
  }

  /** Whether a teacher is the student's own base, beneath its adapter. */
  #isBase(name: string): boolean {
    const { options } = this.#context;
    return name === "self" && (options.lora || options.lora_continue);
  }

  async #teachers({
    gpu,
    model,
    original,
  }: WorkSetup<DistillBatch>): Promise<{ teachers: Teacher[]; models: Model[] }> {
    const { options } = this.#context;
    if (this.#cache) return { teachers: [cachedTeacher(this.#cache.k)], models: [] };
    const models: Model[] = [];
    const teachers: Teacher[] = [];
    const checkpoints = this.#checkpoints.values();
    for (const name of this.#refs) {
      if (this.#isBase(name)) {
        teachers.push(baseTeacher(model));
        continue;
      }
      const teacher =
        name === "self"
          ? await original()
          : await Model.load(gpu, checkpoints.next().value!, {
              ...(options.online ? { dtype: "f32" } : { freeze: () => true }),
              warn: (text) => this.#context.warn(text),
            });
      models.push(teacher);
      teachers.push(this.#others ? foreignTeacher(teacher) : liveTeacher(teacher, this.#common));
    }
    return { teachers, models };
  }

  async work(setup: WorkSetup<DistillBatch>): Promise<Work<DistillBatch>> {
    const { options, settings, seed } = this.#context;
    const { gpu, model, steps } = setup;
    const { method } = this;
    const { teachers, models } = await this.#teachers(setup);
    this.#samplers.set("student", model);
    if (models[0]) this.#samplers.set("teacher", models[0]);
    const values = settings as never;
    const speaks = teachers[0]?.sizes;
    const sizes = { student: model.sizes, teacher: speaks && { ...speaks, outputs: this.#common } };
    const extra = extraParameters(gpu, method.extra?.({ ...sizes, values }) ?? [], seed);
    const weights = {
      distill: options.distill_weight ?? method.weights?.distill ?? 1,
      labels: options.label_weight ?? method.weights?.labels ?? 0,
    };
    if (weights.distill === 0 && weights.labels === 0)
      throw new UserError("--distill-weight and --label-weight are both 0", "nothing would be learnt");
    if (weights.labels === 0 && (options.smoothing > 0 || options.z_loss > 0))
      throw new UserError(
        `${options.smoothing > 0 ? "--smoothing" : "--z-loss"} is of the labels' cross-entropy, which counts for nothing here`,
        "give --label-weight, or leave it out",
      );
    const adaptive = method.adaptive?.({ values, steps, teachers: teachers.length });
    // A teacher that learns is counted among what is trained.
    const held = options.online ? 0 : teachers.reduce((sum, { bytes }) => sum + bytes, 0);
    const learning = options.online ? models[0]!.trainable() : [];
    const aligned = method.aligned?.(values) && weights.distill > 0 && weights.labels > 0;
    const alignment = aligned ? new GradientAlignment(gpu, [...model.trainable(), ...extra.values()]) : undefined;
    return {
      objective: distillObjective({
        model,
        method,
        teachers,
        values: settings,
        extra,
        weights,
        online: options.online,
        apart: alignment !== undefined,
        recompute: options.recompute,
        smoothing: options.smoothing,
        zLoss: options.z_loss,
      }),
      // What learns beside the student keeps apart by name: a teacher has the same names.
      extra: [...extra.values(), ...learning],
      controllers: adaptive ? [controllerOf(adaptive)] : [],
      updates: alignment ? [alignment] : [],
      memory: held > 0 ? { teachers: held } : {},
      end: async () => {
        const [checkpoint] = this.#checkpoints;
        if (!options.online || !checkpoint) return;
        const step = {
          script: "distill",
          version: this.#context.version,
          method: method.name,
          options: { ...settings, online: true, steps },
          seed,
        };
        const lineage = lineageOf(step, [{ checkpoint, role: "teacher" }], [{ ref: setup.ref, role: "student" }]);
        await saveModel(models[0]!, options.teacher_out!, { files: checkpoint.files, lineage });
      },
      free: () => {
        for (const teacher of teachers) teacher.free();
        for (const parameter of extra.values()) parameter.free();
      },
    };
  }

  close(): void {
    for (const checkpoint of this.#checkpoints) checkpoint.close();
    this.#cache?.close();
  }
}

/** Weights of a method's own, drawn by (seed, name). */
export function extraParameters(
  gpu: Gpu,
  specs: readonly { readonly name: string; readonly shape: readonly number[]; readonly std: number }[],
  seed: number,
): ReadonlyMap<string, Parameter> {
  return new Map(
    specs.map(({ name, shape, std }) => {
      const parameter = new Parameter(gpu, `distill.${name}`, shape);
      const count = sizeOf(shape);
      parameter.write(std === 0 ? new Float32Array(count) : keyedNormals(count, std, seed, `distill.${name}`));
      return [name, parameter];
    }),
  );
}

const controllerOf = (adaptive: Adaptive): Controller => ({
  name: "weights",
  logged: true,
  values: (step) => adaptive.values(step),
  heard: ({ metrics, step }) => adaptive.heard(metrics, step),
  state: () => adaptive.state(),
  load: (state) => adaptive.load(state),
});

/** The options of `distill cache`. */
const OF_CACHE = ["teacher", "top", "data", "tokenizer", "template", "batch_size", "max_length", "overflow"];

/** `distill cache`: writes a teacher's top k over data. */
async function cache(context: DistillContext): Promise<Outcome> {
  const { options, args, seed } = context;
  const odd =
    options.method === undefined ? Object.keys(context.chosen).find((name) => !OF_CACHE.includes(name)) : "method";
  if (odd)
    throw new UserError(
      `${flagOf(odd)} means nothing to distill cache`,
      "it only writes down what the teacher says; give it to the run that learns from the cache",
    );
  const refs = [...(options.teacher ?? []), ...args.slice(1)];
  if (refs.length !== 1)
    throw new UserError(`distill cache takes one teacher, got ${refs.length}`, "give --teacher MODEL");
  const checkpoint = await open(refs[0]!, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  const where = `${checkpoint.ref}: config.json`;
  const json = configOf(checkpoint);
  const architecture = await architectureOf(json, where);
  if (architecture.task !== "causal-lm")
    throw new UserError(`${checkpoint.ref} is a ${architecture.task}`, "a cache is for language models");
  const sizes = architecture.sizes(architecture.config(json, where));
  const tools = await textTools(checkpoint.files, checkpoint.ref, sizes, options, (text) => context.warn(text));
  const { sequences, groups } = await loadSequences(groupsOf(options.data, "--data"), tools.encode);
  const tokens = groups.reduce((sum, group) => sum + group.tokens, 0);
  const k = Math.min(options.top, sizes.outputs);
  context.info(`${sequences.length} rows, ${tokens} tokens, about ${humanBytes(tokens * (8 * k + 4))}`);
  if (context.dryRun) {
    context.json({ rows: sequences.length, tokens, bytes: tokens * (8 * k + 4) });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  const step = {
    script: "distill cache",
    version: context.version,
    options: { data: options.data, top: k },
    seed,
  };
  const lineage = lineageOf(step, [{ checkpoint, role: "teacher" }]);
  context.progress.start({ total: sequences.length, unit: "rows" });
  const { bytes, mass } = await writeCache(context.out, model, sequences, {
    ref: checkpoint.ref,
    k,
    rows: options.batch_size,
    pad: tools.tokenizer?.pad ?? 0,
    lineage,
    signal: context.signal,
    done: (n) => context.progress.advance(n),
  });
  context.progress.done();
  context.info(`the ${k} hold ${(100 * mass).toFixed(1)} % of the teacher's probability`);
  const told = { rows: sequences.length, tokens, k, mass };
  context.json({
    ...(context.out === "-" ? {} : { file: context.out }),
    ...told,
    bytes,
    groups: groups.map(({ name, sequences, tokens }) => ({ name, rows: sequences, tokens })),
  });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: told };
}
