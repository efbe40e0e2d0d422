/**
 * The middle phases of a run of training: the model on the GPU with all memory taken, and what becomes of the result.
 */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { uploadText } from "../../checkpoint/hub/upload.ts";
import type { Writer } from "../../checkpoint/write/writer.ts";
import { UserError } from "../../errors.ts";
import { NeedsValues } from "../../gpu/dry-device.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { roundedBase } from "../../model/adapters/adapter-init.ts";
import { carriedText } from "../../model/load.ts";
import type { Model } from "../../model/model.ts";
import { checkSave, prepareSave, type SaveOptions, saveModel, savingTo } from "../../model/save.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { humanBytes } from "../../text/format.ts";
import { hostMemory, hostMemoryText } from "../host-memory.ts";
import { matcher } from "../name-patterns.ts";
import { measuringData } from "./adapter-inputs.ts";
import { balanceRemark, expertTraining } from "./experts/expert-training.ts";
import { layerRates } from "./layer-rates.ts";
import type { MemoryReport } from "./memory-report.ts";
import { muRates, scaleHead } from "./mu-rates.ts";
import type { OpenedRun, ReadRun } from "./open-run.ts";
import type { Choices } from "./optimizer-and-schedule.ts";
import { refuseUnmatched } from "./option-checks.ts";
import { type TrainingPrecision, trainingPrecision } from "./precision/training-precision.ts";
import { adapterDraws } from "./rules/adapter-draws.ts";
import { adapterStages } from "./rules/adapter-stages.ts";
import { chosenRules, readOf } from "./rules/chosen-rules.ts";
import { runLineage } from "./run-lineage.ts";
import { checkInputs } from "./saved-state.ts";
import type { Loaded, RunContext, Technique, TrainingData, Work } from "./technique.ts";
import { Training } from "./train-model.ts";
import type { UpdateRule } from "./update-rule.ts";

export interface BuiltRun<B> {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly work: Work<B>;
  readonly training: Training<B>;
  readonly memory: MemoryReport;
}

/** What options and a technique's work say of every training: one, or each of a row. */
export const trainingSettings = <B>(
  { options, seed }: Pick<RunContext, "options" | "seed">,
  choices: Choices,
  steps: number,
  {
    model,
    rules,
    precision,
  }: {
    readonly model: Model;
    readonly rules: readonly UpdateRule[];
    readonly precision?: TrainingPrecision | undefined;
  },
  work: Pick<Work<B>, "extra" | "controllers" | "updates" | "place" | "multiplier">,
  experts = expertTraining(model, options, steps),
) => ({
  optimizer: choices.optimizer,
  rate: (step: number) => {
    const at = work.place?.(step) ?? { step, steps };
    return choices.rate(at.step, at.steps) * (work.multiplier?.(step) ?? 1);
  },
  steps,
  seed,
  accumulate: options.accumulate,
  clip: options.clip,
  decays: decaysOf(options.decay_all),
  stateDtype: options.state_dtype,
  weightRounding: options.weight_rounding,
  noiseScale: options.log_noise_scale,
  rateOf: ratesOf(options, model, precision),
  ...(options.independent_decay ? { independentOf: options.lr } : {}),
  extra: [...(work.extra ?? []), ...(precision?.extra ?? [])],
  controllers: [...(work.controllers ?? []), ...(precision?.controllers ?? [])],
  updates: [...rules, ...(work.updates ?? []), ...(experts ? [experts] : []), ...(precision?.updates ?? [])],
  experts,
});

/** What options multiply the rates of parameters by; undefined where they say nothing. */
function ratesOf(
  { layer_rates: ratio, mu_base_width: base }: RunContext["options"],
  model: Model,
  precision: TrainingPrecision | undefined,
): ((parameter: Parameter) => number) | undefined {
  const ways = [
    ...(precision ? [precision.rateOf] : []),
    ...(ratio === undefined ? [] : [layerRates(ratio, model)]),
    ...(base === undefined ? [] : [muRates(base, model)]),
  ];
  if (ways.length === 0) return undefined;
  return (parameter) => ways.reduce((rate, way) => rate * way(parameter), 1);
}

/** Norms and biases do not decay, unless --decay-all says so. */
const decaysOf = (all: boolean) => (parameter: Parameter) => parameter.decays && (all || parameter.shape.length > 1);

/**
 * Builds the run on a device that computes nothing, for a dry run: no weight is read and no memory is taken. A
 * technique whose plan depends on values is built for real.
 */
export async function planRun<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  opened: OpenedRun,
  read: ReadRun<D>,
): Promise<BuiltRun<B>> {
  try {
    return await buildRun(context, technique, opened, read);
  } catch (error) {
    if (!(error instanceof NeedsValues)) throw error;
    context.info("what this run takes depends on the model's values: it is loaded for the plan");
    return buildRun({ ...context, dryRun: false }, technique, opened, read);
  }
}

/**
 * Loads the model, sets up the technique's work, and takes all memory that training needs; in a dry run on a device
 * that computes nothing. Throws UserError.
 */
export async function buildRun<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  run: OpenedRun,
  { data, heldOut, steps }: ReadRun<D>,
): Promise<BuiltRun<B>> {
  const { options } = context;
  const { opened, start, saved, choices, ruleFiles } = run;
  const gpu = await openGpu({ device: context.device, profile: options.profile, dry: context.dryRun });
  const model = await start.load(gpu, measuringData(context, opened));
  refuseUnmatched(options, [...model.parameters.keys()], start.ref);
  await chooseTrained(context, technique, run, { ...opened, gpu, model }, data);
  if (model.trainable().length === 0) throw new UserError("every weight is frozen", "change --freeze or --train-only");
  const resumed = saved !== undefined;
  if (options.mu_base_width !== undefined && options.init !== undefined && !resumed)
    await scaleHead(options.mu_base_width, model);
  const inputs = start.read.map(({ checkpoint: { headerSha256 } }) => headerSha256);
  const built = { ...opened, gpu, model, steps, resumed, inputs, original: () => start.original(gpu, model) };
  const precision = await trainingPrecision(model, options);
  const work = await technique.work(built, data);
  const rules = await chosenRules(context, { ...opened, model, steps }, ruleFiles);
  rules.push(...adapterStages(model, work.stage?.bind(work), steps, context.seed));
  rules.push(...adapterDraws(model, steps, context.seed));
  gpu.pool.trim(); // what preparing took does not stay beside training
  const training = await Training.make<B>({
    model,
    source: work.source ?? data.source,
    objective: work.objective,
    heldOut,
    heldOutBatches: data.heldOut,
    ...trainingSettings(context, choices, steps, { model, rules, precision }, work),
  });
  return { gpu, model, work, training, memory: training.memory(work.memory) };
}

/** Lets a technique choose which weights are trained, where no option does. */
async function chooseTrained<B, D extends TrainingData<B>>(
  { options }: RunContext,
  { trains }: Technique<B, D>,
  { start, saved }: OpenedRun,
  loaded: Loaded,
  data: D,
): Promise<void> {
  if (typeof trains !== "function" || options.train_only) return;
  const { gpu, model } = loaded;
  // The choice must not depend on how far a resumed run had come.
  const original = saved ? await start.original(gpu, model) : model;
  const isChosen = matcher(await trains({ ...loaded, model: original }, data));
  if (saved) original.free();
  for (const parameter of model.trainable()) parameter.trainable = isChosen(parameter.name);
}

/** Says what the run will do and take: as its result with --dry-run, else as a remark. */
export function describeRun<B, D extends TrainingData<B>>(
  context: RunContext,
  { choices }: OpenedRun,
  { data, held, steps, perEpoch }: ReadRun<D>,
  { model, memory }: Pick<BuiltRun<B>, "model" | "memory">,
): void {
  const { options } = context;
  const { groups } = data.source;
  const { total, trainable } = model.parameterCount();
  const carried = model.carried.entries;
  const count = (n: number) => n.toLocaleString("en-US");
  const rows = groups.map(
    ({ name, rows, tokens }) => `${name} ${count(rows)} rows${tokens === undefined ? "" : `, ${count(tokens)} tokens`}`,
  );
  const host = hostMemory(model.gpu, Math.max(...[...model.parameters.values()].map(({ size }) => size)), "saves");
  const heldOut = held.map(({ name, rows }) => `${name} ${count(rows)} rows`);
  const trained = model.adapter ? `, adapter ${count(trainable)} trained` : `, ${count(trainable)} trained`;
  const kinds = Object.entries(memory).map(([kind, bytes]) => `${kind} ${humanBytes(bytes)}`);
  const experts = balanceRemark(model, options);
  const lines = [
    `${count(total)} parameters${trainable === total && !model.adapter ? "" : trained}`,
    ...(carried.length > 0 ? [`carried through: ${carriedText(carried)}`] : []),
    `data: ${rows.join("; ")}`,
    ...(heldOut.length > 0 ? [`held out: ${heldOut.join("; ")}`] : []),
    `${count(steps)} steps (${(steps / perEpoch).toFixed(2)} epochs), ${choices.optimizer.method.name}, ${choices.schedule.method.name}`,
    ...(experts ? [experts] : []),
    `GPU memory: ${kinds.join(", ")}`,
    ...(context.dryRun ? [`host memory: ${hostMemoryText(host)}`] : []),
    ...(context.out.startsWith("hf:") ? [`to: ${uploadText(context.out)}`] : []),
  ];
  if (!context.dryRun) for (const line of lines) context.info(line);
  else {
    context.print(lines.join("\n"));
    const held_out = held.map(({ name, rows }) => ({ name, rows }));
    context.json({
      parameters: { total, trainable },
      steps,
      steps_per_epoch: perEpoch,
      groups,
      held_out,
      memory,
      host_memory: host,
    });
  }
}

/** Where the result goes, and what goes with it. */
export interface RunOutput {
  readonly lineage: readonly LineageEntry[];
  readonly saving: SaveOptions;
  /** Of a stream, whose header is written. */
  readonly writer: Writer | undefined;
  /** Digests of the checkpoints that were read. */
  readonly inputs: readonly string[];
}

/** Makes the lineage, and says how the result is saved. Throws UserError when inputs have changed. */
function describeOutput<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  { opened, start, saved, folder, ruleFiles }: OpenedRun,
  { data, steps }: Partial<Pick<ReadRun<D>, "data" | "steps">>,
): Omit<RunOutput, "writer"> {
  const { options } = context;
  const read = [...start.read, ...readOf(ruleFiles), ...((data && technique.read?.(data)) ?? [])];
  const inputs = read.map(({ checkpoint: { ref, headerSha256 } }) => ({ ref, digest: headerSha256 }));
  if (saved) checkInputs(saved.progress, inputs, folder!);
  const lineage = runLineage(context, technique, { read, others: start.others, steps });
  const saving = {
    files: opened.files,
    lineage,
    ...(options.out_dtype ? { dtype: ({ f32: "F32", bf16: "BF16", f16: "F16" } as const)[options.out_dtype] } : {}),
    ...(options.shards ? { shards: options.shards } : {}),
    ...(options.gguf_type ? { ggufType: options.gguf_type } : {}),
    ...(options.gguf_imatrix ? { ggufImatrix: options.gguf_imatrix } : {}),
    warn: (message: string) => context.warn(message),
    hub: { warn: (text: string) => context.warn(text), progress: context.progress },
  };
  return { lineage, saving, inputs: inputs.map(({ digest }) => digest) };
}

/** For a dry run: throws UserError where a run would refuse to write. Nothing is written. */
export async function checkOutput<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  opened: OpenedRun,
  read: ReadRun<D>,
  model: Model,
): Promise<void> {
  const { saving } = describeOutput(context, technique, opened, read);
  await checkSave(model, context.out, saving);
}

/**
 * Makes the lineage, and finds out whether the result can be written. Throws UserError when it cannot, or when inputs
 * have changed.
 */
export async function prepareOutput<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  opened: OpenedRun,
  read: Partial<Pick<ReadRun<D>, "data" | "steps">>,
  model: Model,
): Promise<RunOutput> {
  const { options, out } = context;
  const described = describeOutput(context, technique, opened, read);
  const { saving } = described;
  if (options.best?.startsWith("hf:")) {
    throw new UserError(`--best ${options.best} would be sent at every better step`, "name a folder for --best");
  }
  const base = roundedBase(context.picks.adapter_init[0]);
  if (base !== undefined)
    await saveModel(model, base, { ...savingTo(base, saving), dtype: "held", base: true, files: opened.opened.files });
  const writer = await prepareSave(model, out, saving);
  if (options.best !== undefined)
    await (await prepareSave(model, options.best, savingTo(options.best, saving)))?.abort();
  context.onExit((ok) => (ok ? undefined : writer?.abort()));
  return { ...described, writer };
}
