/**
 * Sets the training of a student up: teachers beside it, weights of the method's own, the objective, and what changes
 * between steps.
 */
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { isObject } from "../json.ts";
import { keyedNormals } from "../keyed-random.ts";
import type { Bound } from "../method/bind.ts";
import type { Model } from "../model/model.ts";
import { adversarialWork } from "../run/adversarial/training-work.ts";
import type { Adaptive } from "../run/training/adaptive.ts";
import { type BatchSource, labelCounts, type ReadRows } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { chooseGradientRules, type GradientRule } from "../run/training/gradient-rule.ts";
import { chooseLoss, type LabelLoss } from "../run/training/label-loss.ts";
import type { Mixing } from "../run/training/mixup.ts";
import type { Built, Opened, TrainingData, Work } from "../run/training/technique.ts";
import { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Choices } from "./choices.ts";
import type { ExtraSpec } from "./contract.ts";
import { numbersObjective } from "./numbers.ts";
import { distillObjective } from "./objective.ts";
import { behindPrompts } from "./other-prompts.ts";
import { behindText } from "./prefixed.ts";
import type { DistillRun } from "./run.ts";
import { sampledBatches } from "./sampled.ts";
import { type OpenTeachers, openNamed } from "./teachers.ts";
import { sameVocabulary } from "./vocabulary.ts";

/** Opens the teachers that the options name, or what takes their place. Reads headers only. Throws UserError. */
export async function openTeachers(
  run: DistillRun,
  { chosen: { method }, refs, parts }: Choices,
  student: Opened,
): Promise<OpenTeachers> {
  const { teacher_prefix: prefix, teacher_prompts: prompts } = run.options;
  const flag = prefix === undefined ? "--teacher-prompts" : "--teacher-prefix";
  const other = parts.find((part) => part.openTeachers);
  const named = parts.find((part) => part.reading);
  if (prefix !== undefined && prompts !== undefined)
    throw new UserError("--teacher-prefix and --teacher-prompts both say what teachers read", "give one of them");
  if ((prefix ?? prompts) !== undefined && (other || named || method.states || method.rows === undefined))
    throw new UserError(
      `${flag} does not go with ${other || named ? "these teachers" : method.name}`,
      "it is for losses of logits, of teachers that run and have the student's tokens",
    );
  if (other) return other.openTeachers!(run, student);
  const reading = named?.reading ?? sameVocabulary(method.states !== undefined);
  const trains = parts.some(({ trainsTeachers }) => trainsTeachers);
  const opened = await openNamed(run, student, { refs, reading, trains });
  if (prompts !== undefined) return behindPrompts(opened, prompts, run, student);
  return prefix === undefined ? opened : behindText(opened, prefix, student);
}

/** What was read. */
export interface DistillData extends TrainingData<Batch> {
  readonly source: ReadRows;
  readonly teachers: OpenTeachers;
}

export async function setUpTraining(
  run: DistillRun,
  choices: Choices,
  { loss, rules }: { readonly loss: Bound<LabelLoss>; readonly rules: readonly Bound<GradientRule>[] },
  data: DistillData,
  built: Built,
): Promise<Work<Batch>> {
  const { options, seed } = run;
  const { chosen, weights, parts } = choices;
  const { method, values } = chosen;
  const { gpu, model, steps } = built;
  const moved = await adversarialWork(model, data.source, options, { seed, beside: method.beside === true });
  const loaded = await data.teachers.load(built);
  const { teachers, models } = loaded;
  const speaks = teachers[0]?.sizes;
  const sizes = { student: model.sizes, teacher: speaks && { ...speaks, outputs: loaded.outputs } };
  const extra = extraParameters(gpu, method.extra?.({ ...sizes, teachers: teachers.length, values }) ?? [], seed);
  const adaptive = method.adaptive?.({ values, steps, teachers: teachers.length });
  const trains = parts.some(({ trainsTeachers }) => trainsTeachers);
  // A teacher that learns is counted among what is trained.
  const held = trains ? 0 : teachers.reduce((sum, { bytes }) => sum + bytes, 0);
  // What learns beside the student is saved by name, and teachers have the same names: one teacher at most.
  const besides = [...extra.values(), ...(trains ? models[0]!.trainable() : [])];
  const written = writtenBatches(run, choices, data, built, loaded.models[0]);
  const setup = { model, chosen, teachers, extra, weights, parts, recompute: options.recompute };
  const { objective, updates } = chooseGradientRules(rules, {
    objective:
      model.task === "regressor"
        ? numbersObjective(setup, loss)
        : distillObjective({
            ...setup,
            mixing: mixingOf(run, model),
            loss: chooseLoss(loss, {
              ...{ model, smoothing: options.smoothing, zLoss: options.z_loss, part: true },
              counts: () => labelCounts(data.source, model.sizes.outputs),
              micro: options.accumulate,
            }),
          }),
    groups: data.source.groups.map(({ name }) => name),
    shared: options.gradient_shared,
    packs: options.pack,
    ...(data.teachers.prepare ? { refuses: "what the teachers say is prepared for whole batches" } : {}),
    ...(parts.some(({ positions }) => positions) ? { refuses: "answers are weighed in whole batches" } : {}),
    ...(options.mixup > 0 ? { refuses: "--mixup joins rows of all groups" } : {}),
    ...(moved ? { refuses: "rows are moved in whole batches" } : {}),
    ...{ gpu, parameters: [...model.trainable(), ...besides], seed },
  });
  return {
    source: written?.source ?? moved?.source ?? batchesFor(run, choices, data, built, loaded.models[0]),
    objective,
    extra: besides,
    controllers: [
      ...(written?.controllers ?? []),
      ...(adaptive ? [controllerOf(adaptive)] : []),
      ...(method.doubts ? [doubting(run, chosen)] : []),
    ],
    updates: [
      ...updates,
      ...parts.flatMap((part) => part.updates?.(gpu, [...model.trainable(), ...extra.values()]) ?? []),
    ],
    memory: { ...(held > 0 ? { teachers: held } : {}), ...moved?.memory },
    end: async (lineage) => {
      await written?.free?.();
      const ending = { ...loaded, extra, gpu, lineage };
      for (const part of parts) await part.end?.(ending);
    },
    free: () => {
      moved?.free();
      for (const teacher of teachers) teacher.free();
      for (const parameter of extra.values()) parameter.free();
    },
  };
}

/** How rows are mixed; undefined where they are not. Throws UserError for a model that is no classifier. */
function mixingOf({ options, seed }: DistillRun, model: Model): Mixing | undefined {
  if (options.mixup === 0) return undefined;
  if (options.adversarial)
    throw new UserError("--adversarial moves rows, and --mixup mixes them with others", "leave one of them out");
  if (model.task !== "classifier")
    throw new UserError(
      `--mixup is for classifiers, and ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  return { beta: options.mixup, keep: options.mixup_keep, seed };
}

/** Batches that a part of the method makes; undefined where none does. */
function writtenBatches(
  run: DistillRun,
  { parts, samples }: Choices,
  { source }: DistillData,
  { model: student, tools, steps }: Built,
  teacher: Model | undefined,
) {
  const { options, seed, signal } = run;
  const part = parts.find(({ batches }) => batches);
  if (!part?.batches || !("data" in source) || !tools) return undefined;
  return part.batches(source, {
    ...{ teacher, student, tools, seed, signal },
    options: { ...samples, eval_every: options.eval_every },
    accumulate: options.accumulate,
    sequences: source.data.sequences,
    batchSize: options.batch_size,
    batches: steps * options.accumulate,
  });
}

/** The batches of data with completions that are sampled, each prepared for the teachers. */
function batchesFor(
  { seed }: DistillRun,
  { shares, samples: options }: Choices,
  { source, teachers: { prepare } }: DistillData,
  { tools, model: student }: Built,
  teacher: Model | undefined,
): BatchSource<Batch> {
  let batches: BatchSource<Batch> = source;
  for (const [whose, model] of [
    ["teacher", teacher],
    ["student", student],
  ] as const)
    if (shares[whose] > 0)
      batches = sampledBatches(batches, model!, { seed, whose, share: shares[whose], options, tools: tools! });
  if (!prepare) return batches;
  const sampled = batches;
  return {
    groups: sampled.groups,
    batchesPerEpoch: sampled.batchesPerEpoch,
    largest: () => sampled.largest(),
    async next() {
      const drawn = await sampled.next();
      await prepare(drawn.batch);
      return drawn;
    },
    state: () => sampled.state(),
    load: (state, what) => sampled.load(state, what),
  };
}

/** Weights of a method's own, drawn by (seed, name). */
export function extraParameters(gpu: Gpu, specs: readonly ExtraSpec[], seed: number): ReadonlyMap<string, Parameter> {
  return new Map(
    specs.map(({ name, shape, std }) => {
      const parameter = new Parameter(gpu, `distill.${name}`, shape);
      const count = sizeOf(shape);
      parameter.write(std === 0 ? new Float32Array(count) : keyedNormals(count, std, seed, `distill.${name}`));
      return [name, parameter];
    }),
  );
}

/** Steps whose means a method may doubt a run by. */
const FIRST = 10;

/** Says what the first steps' metrics say against the run. */
function doubting({ warn }: DistillRun, { method, values }: Choices["chosen"]): Controller {
  const sums = new Map<string, number>();
  let count = 0;
  return {
    name: "doubts",
    heard({ metrics }) {
      if (count === FIRST) return;
      for (const [name, value] of Object.entries(metrics)) sums.set(name, (sums.get(name) ?? 0) + value / FIRST);
      if (++count < FIRST) return;
      const said = method.doubts!(Object.fromEntries(sums), values);
      if (said !== undefined) warn(said);
    },
    state: () => ({ count, sums: Object.fromEntries(sums) }),
    load(state) {
      const saved = isObject(state) ? state : {};
      count = Number(saved.count ?? 0);
      for (const [name, value] of Object.entries(isObject(saved.sums) ? saved.sums : {})) sums.set(name, Number(value));
    },
  };
}

const controllerOf = (adaptive: Adaptive): Controller => ({
  name: "weights",
  logged: true,
  values: (step) => adaptive.values(step),
  ...(adaptive.heard ? { heard: ({ metrics, step }) => adaptive.heard!(metrics, step) } : {}),
  state: () => adaptive.state(),
  load: (state) => adaptive.load(state),
});
