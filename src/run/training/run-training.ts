/**
 * A run of training from the command line to the checkpoint, whatever is learned. Every phase returns a value that
 * the next ones take:
 *
 *   open       options, saved run, description of the model      open-run.ts
 *   data       training and held-out rows, number of steps       open-run.ts
 *   build      model on the GPU, the technique's work, memory    build-run.ts
 *   restore    output tried, state of a run that resumes
 *   loop       steps, evaluations, saved states                  train-model.ts
 *   save       the result with its lineage
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { saveModel, saveResult, savingTo } from "../../model/save.ts";
import { humanBytes } from "../../text/format.ts";
import type { Outcome } from "../command-context.ts";
import { type BuiltRun, buildRun, describeRun, planRun, prepareOutput, type RunOutput } from "./build-run.ts";
import { meanOfGroups } from "./held-out.ts";
import { type OpenedRun, openRun, type ReadRun, readRun } from "./open-run.ts";
import { saveState, VERSION, withSavedTraining } from "./saved-state.ts";
import { removeState } from "./state-folder.ts";
import type { RunContext, Technique, TrainingData } from "./technique.ts";
import type { TrainingResult } from "./train-model.ts";

/** How long an interrupted run may take to finish its step and save. */
const SAVING_SECONDS = 600;

/** The step with the lowest held-out loss. */
type Best = { readonly step: number; readonly loss: number } | undefined;

/** Runs a technique to its end. Throws UserError. */
export async function runTraining<B, D extends TrainingData<B> = TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
): Promise<Outcome> {
  const opened = await openRun(context, technique);
  const read = await readRun(context, technique, opened);
  if (context.dryRun) {
    describeRun(context, opened, read, await planRun(context, technique, opened, read));
    return {};
  }
  const built = await buildRun(context, technique, opened, read);
  describeRun(context, opened, read, built);
  const output = await prepareOutput(context, technique, opened, read, built.model);
  await restore(context, opened, built, read.steps);
  const { result, best } = await loop(context, opened, read, built, output);
  return save(context, opened, built, output, { ...result, best });
}

/** Gives a run that resumes its state back. */
async function restore<B>(
  context: RunContext,
  { saved }: OpenedRun,
  { training }: BuiltRun<B>,
  steps: number,
): Promise<void> {
  if (!saved) return;
  await withSavedTraining(saved, (state) => training.load(state));
  context.info(`continuing after step ${training.step} of ${steps}`);
}

/** Trains; saves the state on the way, and the best weights. Throws UserError when it was interrupted. */
async function loop<B, D>(
  context: RunContext,
  { opened, folder, saved, settings }: OpenedRun,
  { heldOut, steps }: ReadRun<D>,
  { model, training, memory }: BuiltRun<B>,
  { lineage, saving, inputs }: RunOutput,
): Promise<{ result: TrainingResult; best: Best }> {
  const { options, signal, log, progress } = context;
  let best: Best = saved?.progress.best;
  const saveStep = async (step: number) => {
    const { progress, tensors } = training.state();
    await saveState(folder!, {
      model,
      tensors,
      progress: { version: VERSION, settings, inputs, ...(best ? { best } : {}), training: progress },
      files: opened.files,
      lineage,
    });
    if (signal.aborted) context.info(`saved step ${step} in ${folder}; continue with --resume`);
  };
  if (folder !== undefined) context.grace(SAVING_SECONDS);
  const units = opened.tools ? "tokens" : "examples";
  log.start({ device: model.gpu.adapter.device, parameters: model.parameterCount(), memory });
  progress.start({ total: steps, unit: "steps" });
  progress.advance(training.step);
  const result = await training.run({
    signal,
    log,
    logEvery: options.log_every,
    warn: (message) => context.warn(message),
    onStep: ({ metrics }, speed) =>
      progress.advance(1, `loss ${metrics.loss!.toFixed(4)}, ${Math.round(speed)} ${units}/s`),
    ...(heldOut.length > 0
      ? {
          evaluate: async (step, losses) => {
            const loss = meanOfGroups(losses);
            context.info(`step ${step}: held-out loss ${loss.toFixed(4)}`);
            if (best && best.loss <= loss) return;
            best = { step, loss };
            if (options.best) await saveModel(model, options.best, savingTo(options.best, saving));
          },
        }
      : {}),
    evalEvery: options.eval_every,
    ...(folder === undefined ? {} : { save: saveStep, saveEvery: options.save_every }),
  });
  progress.done();
  if (result.step < steps) {
    if (folder === undefined)
      throw new UserError(
        `stopped after step ${result.step} of ${steps}; nothing was saved`,
        "give --state DIR to save when interrupted",
        1,
      );
    signal.throwIfAborted();
  }
  return { result, best };
}

/** Writes the result, and says what it is. */
async function save<B>(
  context: RunContext,
  { opened, start, folder }: OpenedRun,
  { gpu, model, work, training }: BuiltRun<B>,
  { lineage, saving, writer }: RunOutput,
  { step, last, best }: TrainingResult & { readonly best: Best },
): Promise<Outcome> {
  await work.end?.(lineage);
  const bytes = await saveResult(model, writer ?? context.out, saving, context.log.run);
  if (folder !== undefined) removeState(folder);
  await training.free();
  work.free?.();
  const result = {
    steps: step,
    ...last?.metrics,
    ...(best ? { best_step: best.step, best_loss: best.loss } : {}),
    parameters: model.parameterCount(),
  };
  context.json(result);
  await tellTimes(context, gpu);
  const where = context.out === "-" ? "stdout" : context.out;
  const next = `bun run evaluate ${model.adapter ? `${start.ref}+` : ""}${context.out} --data rows.jsonl`;
  return {
    output: `${where} (${humanBytes(bytes)})`,
    ...(context.out === "-" || !opened.tools ? {} : { next }),
    log: result,
  };
}

/** Where kernels were timed: how long each took. */
async function tellTimes(context: RunContext, { timer }: Gpu): Promise<void> {
  for (const { kernel, runs, seconds } of (await timer?.times()) ?? [])
    context.info(`  ${kernel}: ${runs} runs, ${(1000 * seconds).toFixed(1)} ms`);
}
