/**
 * A run of training from the command line to the checkpoint, whatever is learnt: the model, data in batches, an objective, the loop,
 * held-out loss, saved states, the result with its lineage. A technique says what is particular to it.
 */

import { lineageOf, type Read } from "../../checkpoint/lineage/input.ts";
import type { CommonValues, Outcome, PlainContext } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import type { Values } from "../../method/options.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { architectureOf } from "../../model/registry.ts";
import { prepareSave, saveModel, saveResult } from "../../model/save.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { humanBytes } from "../../text/format.ts";
import type { BatchSource, OrderChoice } from "./batch-source.ts";
import { type Controller, Controllers } from "./controller.ts";
import { type TextTools, textTools } from "./data-source.ts";
import { HeldOut } from "./held-out.ts";
import { trainLoop } from "./loop.ts";
import { memoryReport } from "./memory-report.ts";
import type { Objective } from "./objective.ts";
import { choose } from "./optimizer-and-schedule.ts";
import { refuseIdle, refuseUnmatched, warnOfSchedule } from "./option-checks.ts";
import type { RUN } from "./options.ts";
import {
  checkInputs,
  checkSettings,
  findState,
  loadOptimizer,
  type Progress,
  refuseOverwriting,
  removeState,
  saveState,
  VERSION,
} from "./saved-state.ts";
import { matcher, start } from "./starting-model.ts";
import { Trainer } from "./trainer.ts";
import { loadStates, refuseNamesakes, statesOf, type UpdateRule } from "./update-rule.ts";

export type RunContext = PlainContext & { readonly options: CommonValues & Values<typeof RUN> };

/** What is known before any weight is read. */
export interface DataSetup {
  readonly task: "causal-lm" | "classifier";
  readonly sizes: ModelSizes;
  /** Of a language model. */
  readonly tools: TextTools | undefined;
  readonly order: OrderChoice;
  /** What the model was called. */
  readonly ref: string;
}

/** What weights to train are chosen by. */
export interface ChoiceSetup extends DataSetup {
  readonly model: Model;
}

/** What is known once the model is on the GPU. */
export interface WorkSetup<B> extends DataSetup {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly source: BatchSource<B>;
  readonly steps: number;
  /** Whether a saved run goes on: the model is as that left it, and the controller will be given its state. */
  readonly resumed: boolean;
  /** The model as it was before training, frozen: a second one in memory. */
  original(): Promise<Model>;
}

export interface Work<B> {
  readonly objective: Objective<B>;
  /** Batches in place of those that were read, where models have a part in them. */
  readonly source?: BatchSource<B>;
  /** Trained beside the model, and left out of the result. */
  readonly extra?: readonly Parameter[];
  /** What follows the training from step to step, in this order. */
  readonly controllers?: readonly Controller[];
  /** What changes the way from gradients to weights; composed as update-rule.ts says. */
  readonly updates?: readonly UpdateRule[];
  /** Further memory on the GPU, by kind. */
  readonly memory?: Readonly<Record<string, number>>;
  /** Called when every step is done, before the result is written. */
  end?(): Promise<void>;
  free?(): void;
}

export interface Technique<B> {
  /** For lineage: what did it, and how. */
  readonly script: string;
  readonly method?: string;
  /** What the model is called among its inputs; "model" when left out. */
  readonly role?: string;
  /** Reference of the model that is trained; undefined with --init. */
  readonly model: string | undefined;
  /** Weights that are trained, by pattern, where options do not say; perhaps chosen by the model as it was. */
  readonly trains?: readonly string[] | ((setup: ChoiceSetup) => Promise<readonly string[]>) | undefined;
  /** What else it read, for lineage; asked once the work is set up. Their roles are options that are then not told again. */
  readonly read?: () => readonly Read[];
  readonly data: (setup: DataSetup) => Promise<BatchSource<B>>;
  readonly work: (setup: WorkSetup<B>) => Promise<Work<B>>;
}

/** Options that say how to run, not what comes out: a resumed run may change them. */
const RUNNING = new Set([
  "profile",
  "resume",
  "state",
  "save_every",
  "log_every",
  "best",
  "shards",
  "eval_every",
  "recompute",
  "out_dtype",
]);
const COMMON = new Set([
  "help",
  "version",
  "list",
  "set",
  "quiet",
  "verbose",
  "log",
  "out",
  "json",
  "dry_run",
  "device",
  "config",
  "yes",
  "method",
]);

/** The options that decide the result, for lineage and for resuming. */
function decisive({ options, settings }: RunContext): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries({ ...options, ...settings }).filter(
      ([name, value]) => value !== undefined && !RUNNING.has(name) && !COMMON.has(name) && name !== "seed",
    ),
  );
}

/** Norms and biases do not decay unless told to. */
const decaysOf = (all: boolean) => (parameter: Parameter) => all || parameter.shape.length > 1;

/** Runs a technique to its end. Throws UserError. */
export async function runTraining<B>(context: RunContext, technique: Technique<B>): Promise<Outcome> {
  const { options, seed, signal } = context;
  const folder = stateFolder(context);
  const saved = options.resume && folder !== undefined ? findState(folder) : undefined;
  if (options.resume && folder === undefined && !context.dryRun)
    throw new UserError("--resume needs --state DIR when the result goes to stdout");
  if (!saved && folder !== undefined) refuseOverwriting(folder);
  refuseIdle(context);
  const settings: Record<string, unknown> = { ...decisive(context), model: technique.model, seed };
  if (saved) checkSettings(saved.progress, JSON.parse(JSON.stringify(settings)), folder!);

  const { trains } = technique;
  const chooses = typeof trains === "function" && !options.train_only ? trains : undefined;
  const begun = await start({
    ...options,
    model: technique.model,
    role: technique.role,
    init: options.init,
    train_only: options.train_only ?? (typeof trains === "function" ? undefined : trains),
    seed,
    warn: (message) => context.warn(message),
    resumed: saved?.folder,
  });
  context.onExit(() => begun.close());
  const architecture = await architectureOf(begun.json, `${begun.ref}: config.json`);
  const sizes = architecture.sizes(architecture.config(begun.json, `${begun.ref}: config.json`));
  const choices = await choose({ ...options });
  const isText = architecture.task === "causal-lm";
  const tools = isText
    ? await textTools(begun.files, begun.ref, sizes, options, (text) => context.warn(text))
    : undefined;
  const files = tools?.files ?? begun.files;

  const order = {
    batchSize: options.batch_size,
    seed,
    shuffle: options.shuffle,
    ...(options.weights ? { weights: options.weights } : {}),
    ...(options.pack && tools ? { pack: tools.encode.maxLength! } : {}),
  };
  const setup: DataSetup = { task: architecture.task, sizes, tools, order, ref: begun.ref };
  context.progress.start({ unit: "rows" });
  const read = await technique.data(setup);
  context.progress.done();
  const { accumulate } = options;
  const perEpoch = Math.ceil(read.batchesPerEpoch / accumulate);
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new UserError("both --steps and --epochs say how long to train");
  const steps = options.steps ?? Math.max(1, Math.round((options.epochs ?? 1) * perEpoch));
  warnOfSchedule(context, choices, steps);

  const gpu = await openGpu({ device: context.device, profile: options.profile });
  const model = await begun.load(gpu);
  refuseUnmatched(options, [...model.parameters.keys()], begun.ref);
  if (chooses) {
    // What is chosen must not depend on how far a resumed run had come.
    const original = saved ? await begun.original(gpu, model) : model;
    const isChosen = matcher(await chooses({ ...setup, model: original }));
    if (saved) original.free();
    for (const parameter of model.trainable()) parameter.trainable = isChosen(parameter.name);
  }
  const parameters = model.trainable();
  if (parameters.length === 0) throw new UserError("every weight is frozen", "let --freeze or --train-only leave some");
  const work = await technique.work({
    ...setup,
    gpu,
    model,
    source: read,
    steps,
    resumed: saved !== undefined,
    original: () => begun.original(gpu, model),
  });
  gpu.pool.trim(); // what preparing took does not stay beside training
  const { objective, source = read } = work;
  const controllers = new Controllers(work.controllers ?? []);
  const stateful = [...controllers.list, ...(work.updates ?? [])];
  refuseNamesakes(stateful);
  const trained = [...parameters, ...(work.extra ?? [])];
  const trainer = await Trainer.make<B>({
    gpu,
    parameters: trained,
    objective,
    updates: work.updates ?? [],
    seed,
    optimizer: choices.optimizer,
    values: choices.values,
    decays: decaysOf(options.decay_all),
    clip: options.clip,
    stateDtype: options.state_dtype,
  });

  const besides = [...(work.extra ?? []), ...trainer.updates.kept];

  // The largest batch first: smaller ones then fit into its memory.
  const largest = source.largest();
  const programs = await trainer.prepare(largest);
  const report = memoryReport(model, trainer, programs, trained, { ...work.memory, ...trainer.updates.memory });
  const heldOut = await HeldOut.open(model, options.eval_data, tools, order.batchSize, trainer.slots);
  describe(context, {
    model,
    source,
    steps,
    perEpoch,
    accumulate,
    report,
    choices: `${choices.optimizer.name}, ${choices.schedule.name}`,
  });
  if (context.dryRun) return {};

  const checkpoints = [...begun.read, ...(technique.read?.() ?? [])];
  const inputs = checkpoints.map(({ checkpoint: { ref, headerSha256 } }) => ({ ref, digest: headerSha256 }));
  if (saved) checkInputs(saved.progress, inputs, folder!);
  const lineage = lineageOf(stepOf(context, technique, checkpoints, steps), checkpoints, begun.others);
  const saving = {
    files,
    lineage,
    ...(options.out_dtype ? { dtype: ({ f32: "F32", bf16: "BF16", f16: "F16" } as const)[options.out_dtype] } : {}),
    ...(options.shards ? { shards: options.shards } : {}),
  };
  // Header before work; and whatever would stop the result from being written shows now.
  const writer = await prepareSave(model, context.out, saving);
  if (options.best !== undefined) await (await prepareSave(model, options.best, saving))?.abort();
  context.onExit((ok) => (ok ? undefined : writer?.abort()));

  let best = saved?.progress.best;
  const progressOf = (step: number, seen: number): Progress => ({
    version: VERSION,
    step,
    settings: JSON.parse(JSON.stringify(settings)),
    inputs: inputs.map(({ digest }) => digest),
    order: source.state(),
    seen,
    ...(best ? { best } : {}),
    states: statesOf(stateful),
  });
  const keep =
    folder === undefined
      ? undefined
      : async (step: number, seen: number) => {
          await saveState(folder, {
            model,
            updater: trainer.updater,
            extra: besides,
            progress: progressOf(step, seen),
            files,
            lineage,
          });
          if (signal.aborted) context.info(`saved step ${step} in ${folder}; go on with --resume`);
        };
  if (saved) {
    source.load(saved.progress.order, saved.folder);
    await loadOptimizer(gpu, trainer.updater, besides, saved.folder);
    loadStates(stateful, saved.progress.states, saved.folder);
    context.info(`going on after step ${saved.progress.step} of ${steps}`);
  } else {
    await controllers.begin(heldOut);
    await keep?.(0, 0);
  }

  context.log.start({ device: gpu.adapter.device, parameters: model.parameterCount(), memory: report });
  context.progress.start({ total: steps, unit: "steps" });
  if (saved) context.progress.advance(saved.progress.step);
  const evaluate =
    heldOut &&
    (async (step: number) => {
      const losses = await heldOut.losses();
      for (const { name, loss, counted } of losses)
        context.log.event("eval", { step, name: "loss", group: name, value: loss, n: counted });
      const loss = heldOut.mean(losses);
      context.log.event("eval", { step, name: "loss", value: loss });
      context.info(`step ${step}: held-out loss ${loss.toFixed(4)}`);
      if (best && best.loss <= loss) return;
      best = { step, loss };
      if (options.best) await saveModel(model, options.best, saving);
    });
  const { step, last } = await trainLoop({
    trainer,
    source,
    rate: (t) => choices.rate(t, steps),
    steps,
    from: saved?.progress.step ?? 0,
    accumulate,
    log: context.log,
    logEvery: options.log_every,
    signal,
    ...(evaluate ? { evaluate } : {}),
    evalEvery: options.eval_every,
    ...(keep ? { save: keep } : {}),
    saveEvery: options.save_every,
    seen: saved?.progress.seen ?? 0,
    ...(objective.describe ? { describe: objective.describe } : {}),
    controllers,
    ...(heldOut ? { heldOut } : {}),
    onStep: (result, rate) =>
      context.progress.advance(
        1,
        `loss ${result.metrics.loss!.toFixed(4)}, ${Math.round(rate)} ${isText ? "tokens" : "examples"}/s`,
      ),
    gpuBytes: () => gpu.pool.allocated,
  });
  context.progress.done();
  if (step < steps) {
    if (!keep)
      throw new UserError(
        `stopped after step ${step} of ${steps}; nothing was saved`,
        "give --state DIR to save when interrupted",
        1,
      );
    signal.throwIfAborted();
  }
  await trainer.updates.end();
  await work.end?.();
  const bytes = await saveResult(model, writer ?? context.out, saving, context.log.run);
  if (folder !== undefined) removeState(folder);
  work.free?.();
  const result = {
    steps,
    ...last?.metrics,
    ...(best ? { best_step: best.step, best_loss: best.loss } : {}),
    parameters: model.parameterCount(),
  };
  context.json(result);
  if (gpu.timer) {
    for (const { kernel, runs, seconds } of await gpu.timer.times())
      context.info(`  ${kernel}: ${runs} runs, ${(1000 * seconds).toFixed(1)} ms`);
  }
  const where = context.out === "-" ? "stdout" : context.out;
  return {
    output: `${where} (${humanBytes(bytes)})`,
    ...(context.out === "-" || !isText
      ? {}
      : { next: `bun run evaluate ${model.adapter ? `${begun.ref}+` : ""}${context.out} --data rows.jsonl` }),
    log: result,
  };
}

/** Where the state is saved: as told, beside a named result, nowhere for a stream. */
function stateFolder({ options, out, dryRun }: RunContext): string | undefined {
  if (dryRun || (options.save_every === 0 && !options.resume)) return undefined;
  if (options.state !== undefined) return options.state;
  return out === "-" ? undefined : `${out.replace(/\/+$|\.safetensors$/, "")}-state`;
}

/** Options as lineage tells them: those that differ from the defaults (for the version is there too) and decide the result. */
export function toldOptions(
  { chosen }: Pick<RunContext, "chosen">,
  inputs: Iterable<string> = [],
): Record<string, unknown> {
  const without = new Set([...RUNNING, ...inputs].filter((name) => name !== "out_dtype"));
  return Object.fromEntries(Object.entries(chosen).filter(([name]) => !without.has(name)));
}

function stepOf(
  context: RunContext,
  { script, method }: Pick<Technique<never>, "script" | "method">,
  read: readonly Read[],
  steps: number,
) {
  const options = toldOptions(context, [...read.map(({ role }) => role), "init", "epochs"]);
  return {
    script,
    version: context.version,
    ...(method && { method }),
    options: { ...options, steps },
    seed: context.seed,
  };
}

function describe(
  context: RunContext,
  plan: {
    model: Model;
    source: { groups: readonly { name: string; rows: number; tokens?: number }[] };
    steps: number;
    perEpoch: number;
    accumulate: number;
    report: ReturnType<typeof memoryReport>;
    choices: string;
  },
): void {
  const { model, source, steps, perEpoch, report } = plan;
  const { total, trainable } = model.parameterCount();
  const count = (n: number) => n.toLocaleString("en-US");
  const groups = source.groups.map(
    ({ name, rows, tokens }) => `${name} ${count(rows)} rows${tokens === undefined ? "" : `, ${count(tokens)} tokens`}`,
  );
  const lines = [
    `${count(total)} parameters${model.adapter ? `, adapter ${count(trainable)} trained` : trainable === total ? "" : `, ${count(trainable)} trained`}`,
    `data: ${groups.join("; ")}`,
    `${count(steps)} steps (${(steps / perEpoch).toFixed(2)} epochs), ${plan.choices}`,
    `GPU memory: ${Object.entries(report)
      .map(([kind, bytes]) => `${kind} ${humanBytes(bytes)}`)
      .join(", ")}`,
  ];
  if (context.dryRun) {
    context.print(lines.join("\n"));
    context.json({
      parameters: { total, trainable },
      steps,
      steps_per_epoch: perEpoch,
      groups: source.groups,
      memory: report,
    });
  } else for (const line of lines) context.info(line);
}
