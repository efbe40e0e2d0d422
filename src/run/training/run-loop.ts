/** The loop of a run from the command line: what it says on the way, what it saves, and where it ends. */
import { UserError } from "../../errors.ts";
import { saveModel, savingTo } from "../../model/save.ts";
import type { BuiltRun, RunOutput } from "./build-run.ts";
import { VERSION } from "./found-state.ts";
import type { GroupLoss } from "./held-out.ts";
import { HeldOutWatch, type Judge, lossText } from "./held-out-watch.ts";
import type { OpenedRun, ReadRun } from "./open-run.ts";
import { saveState } from "./saved-state.ts";
import { StepCheckpoints } from "./step-checkpoints.ts";
import { StepSamples } from "./step-samples.ts";
import type { RunContext } from "./technique.ts";
import type { TrainingResult } from "./train-model.ts";

/** How long an interrupted run may take to finish its step and save. */
const SAVING_SECONDS = 600;

type Metrics = Readonly<Record<string, number>>;

/** `keep 1.1000, language 1.4000`: the loss of a step by its groups; empty where it has none. */
const groupLosses = (metrics: Metrics): string =>
  Object.entries(metrics)
    .filter(([name]) => name.startsWith("loss."))
    .map(([name, loss]) => `${name.slice("loss.".length)} ${loss.toFixed(4)}`)
    .join(", ");

/** `1.2345 (keep 1.1000, language 1.4000)`: the loss of a step, and of its groups where it has them. */
export function stepLoss(metrics: Metrics): string {
  const groups = groupLosses(metrics);
  return `${metrics.loss!.toFixed(4)}${groups === "" ? "" : ` (${groups})`}`;
}

/** What a run gave. */
export interface Ran extends TrainingResult {
  readonly watch: HeldOutWatch;
}

/** Saves state, step checkpoints and the best weights of a run. */
function savers<B, D>(
  context: RunContext,
  { opened, folder, settings, keeps }: OpenedRun,
  { steps }: ReadRun<D>,
  { model, training }: BuiltRun<B>,
  { lineage, saving, inputs }: RunOutput,
  watch: HeldOutWatch,
) {
  const { options, signal } = context;
  const checkpoints = options.keep === undefined ? undefined : new StepCheckpoints(context.out, options.keep);
  if (training.step === 0) checkpoints?.refuseOthers();
  const { best } = options;
  return {
    async state(step: number): Promise<void> {
      // Before the state: a run that is killed between the two writes the same checkpoint again.
      if (checkpoints && step > 0 && step < steps && step % options.save_every === 0) {
        const name = checkpoints.nameOf(step);
        await training.trainer.updater.measured(() => saveModel(model, name, savingTo(name, saving)));
        checkpoints.prune(step, watch.best?.step);
      }
      const { progress, tensors } = training.state();
      await saveState(folder!, {
        model,
        tensors,
        progress: {
          ...{ version: VERSION, settings, inputs, ...watch.state(), training: progress },
          ...(keeps && (step === steps || watch.over) ? { over: true } : {}),
        },
        files: opened.files,
        lineage,
      });
      if (signal.aborted) context.info(`saved step ${step} in ${folder}; continue with --resume`);
    },
    ...(best === undefined ? {} : { best: () => saveModel(model, best, savingTo(best, saving)) }),
  };
}

/** Says a held-out loss; true where --patience has run out. */
async function hear(
  context: RunContext,
  watch: HeldOutWatch,
  saveBest: (() => Promise<number>) | undefined,
  { step, losses, steps }: { readonly step: number; readonly losses: readonly GroupLoss[]; readonly steps: number },
): Promise<boolean> {
  const isBetter = watch.hear(step, losses);
  context.info(`step ${step}: held-out loss ${lossText(losses)}`);
  if (isBetter) await saveBest?.();
  if (!watch.over || step === steps) return false;
  const { best, patience } = { best: watch.best, patience: context.options.patience };
  const kept = context.options.best === undefined ? "; --best DIR would keep that step's weights" : "";
  const since = best ? `since step ${best.step}${kept}` : "so far";
  context.info(`stopped after step ${step} of ${steps}: no lower held-out loss in ${patience} evaluations ${since}`);
  return true;
}

/** Trains; saves the state on the way, and the best weights. Throws UserError when it was interrupted. */
export async function runLoop<B, D>(
  context: RunContext,
  opened: OpenedRun,
  read: ReadRun<D>,
  built: BuiltRun<B>,
  { judge, ...output }: RunOutput & { readonly judge?: Judge | undefined },
): Promise<Ran> {
  const { folder, saved } = opened;
  const { held, steps, prompts } = read;
  const { model, training, memory } = built;
  const { options, signal, log, progress } = context;
  const watch = new HeldOutWatch(options.patience, saved?.progress, judge);
  const save = savers(context, opened, read, built, output, watch);
  const samples = prompts.length > 0 ? new StepSamples(model, prompts, opened.opened, context) : undefined;
  if (folder !== undefined) context.grace(SAVING_SECONDS);
  const units = opened.opened.tools ? "tokens" : "examples";
  log.start({ device: model.gpu.adapter.device, parameters: model.parameterCount(), memory });
  progress.start({ total: steps, unit: "steps" });
  progress.advance(training.step);
  const result = await training.run({
    signal,
    log,
    logEvery: options.log_every,
    warn: (message) => context.warn(message),
    onStep({ metrics }, speed) {
      const parts = [groupLosses(metrics), `${Math.round(speed)} ${units}/s`].filter((part) => part !== "");
      progress.advance(1, `${parts.join(", ")}${training.said}`, `loss ${metrics.loss!.toFixed(4)}`);
    },
    ...(held.length > 0
      ? { evaluate: (step, losses) => hear(context, watch, save.best, { step, losses, steps }) }
      : {}),
    evalEvery: options.eval_every,
    ...(samples ? { sample: (step) => samples.show(step), sampleEvery: options.sample_every } : {}),
    ...(folder === undefined ? {} : { save: save.state, saveEvery: options.save_every, saveLast: opened.keeps }),
  });
  progress.done();
  samples?.free();
  if (result.step < steps && !watch.over) {
    if (folder === undefined)
      throw new UserError(
        `stopped after step ${result.step} of ${steps}; nothing was saved`,
        "give --state DIR to save when interrupted",
        1,
      );
    signal.throwIfAborted();
  }
  return { ...result, watch };
}
