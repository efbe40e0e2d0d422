/**
 * A run of training from the command line to the checkpoint, whatever is learned. Every phase returns a value that
 * the next ones take:
 *
 *   open       options, saved run, description of the model      open-run.ts
 *   data       training and held-out rows, number of steps       open-run.ts
 *   build      model on the GPU, the technique's work, memory    build-run.ts
 *   restore    output tried, state of a run that resumes
 *   loop       steps, evaluations, saved states                  run-loop.ts, train-model.ts
 *   save       the result with its lineage
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { saveResult } from "../../model/save.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import type { Outcome } from "../command-context.ts";
import {
  type BuiltRun,
  buildRun,
  checkOutput,
  describeRun,
  planRun,
  prepareOutput,
  type RunOutput,
} from "./build-run.ts";
import { withSavedTraining } from "./found-state.ts";
import { meanOfGroups, meansOfGroups } from "./held-out.ts";
import { type HeldOutWatch, lossText } from "./held-out-watch.ts";
import { type OpenedRun, openRun, readRun } from "./open-run.ts";
import { type Ran, runLoop, stepLoss } from "./run-loop.ts";
import { removeState } from "./state-folder.ts";
import type { RunContext, Technique, TrainingData } from "./technique.ts";

/** Runs a technique to its end, by `loop` where its steps are not one training's. Throws UserError. */
export async function runTraining<B, D extends TrainingData<B> = TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  loop: typeof runLoop<B, D> = runLoop,
): Promise<Outcome> {
  const opened = await openRun(context, technique);
  const read = await readRun(context, technique, opened);
  if (context.dryRun) {
    const planned = await planRun(context, technique, opened, read);
    await checkOutput(context, technique, opened, read, planned.model);
    describeRun(context, opened, read, planned);
    return {};
  }
  const built = await buildRun(context, technique, opened, read);
  describeRun(context, opened, read, built);
  const output = await prepareOutput(context, technique, opened, read, built.model);
  await restore(context, opened, built, read.steps);
  const ran = await loop(context, opened, read, built, { ...output, judge: technique.judge });
  return save(context, opened, built, output, ran, technique.measured);
}

/** Gives a run that resumes its state back, and one that carries a state on its optimizer's. */
async function restore<B>(
  context: RunContext,
  { saved, carried }: OpenedRun,
  { training }: BuiltRun<B>,
  steps: number,
): Promise<void> {
  if (carried) {
    await withSavedTraining(carried, (state) => training.carry(state));
    const { step } = carried.progress.training;
    context.info(`the optimizer goes on from ${carried.folder}, step ${step}`);
  }
  if (!saved) return;
  await withSavedTraining(saved, (state) => training.load(state));
  context.info(`continuing after step ${training.step} of ${steps}`);
}

/** Writes the result, and says what it is. */
async function save<B>(
  context: RunContext,
  { opened, start, folder, keeps }: OpenedRun,
  { gpu, model, work, training }: BuiltRun<B>,
  { lineage, saving, writer }: RunOutput,
  { step, last, watch }: Ran,
  measured: readonly string[] | undefined,
): Promise<Outcome> {
  await work.end?.(lineage);
  const smaller = await work.result?.(saving.files);
  const written = smaller?.model ?? model;
  const own = smaller ? { ...saving, files: smaller.files } : saving;
  const bytes = await saveResult(written, writer ?? context.out, own, context.log.run);
  if (folder !== undefined && !keeps) removeState(folder);
  const { said } = training;
  await training.free();
  work.free?.();
  const result = {
    steps: step,
    ...last?.metrics,
    ...work.told?.(),
    ...heldOutResult(watch),
    parameters: smaller
      ? { ...model.parameterCount(), written: written.parameterCount().total }
      : model.parameterCount(),
  };
  smaller?.model.free();
  context.json(result);
  await tellTimes(context, gpu);
  const where = context.out === "-" ? "stdout" : context.out;
  const told = closing(step, last?.metrics, watch, said);
  const ref = `${model.adapter ? `${start.under}+` : ""}${context.out}`;
  const held = context.options.load_in === undefined ? "" : ` --load-in ${context.options.load_in}`;
  const next = `bun run evaluate ${quote(ref)} ${measuring(measured ?? context.options.eval_data)}${held}`;
  return {
    output: `${where} (${humanBytes(bytes)})`,
    told,
    ...(context.out === "-" || !opened.tools ? {} : { next }),
    log: result,
  };
}

/** The rows on which the result is measured, as options; a name to fill in where none can be read again. */
function measuring(rows: readonly string[] = []): string {
  const known = rows.filter((row) => !/(^|=)-$/.test(row));
  return (known.length > 0 ? known : ["rows.jsonl"]).map((row) => `--data ${quote(row)}`).join(" ");
}

/** Held-out losses of the last evaluation, by group where there are several, what else it found, and the best one. */
function heldOutResult({ best, latest }: HeldOutWatch): Record<string, number> {
  if (!best) return {};
  const groups = latest && latest.length > 1 ? latest : [];
  return {
    ...(latest ? { held_out_loss: meanOfGroups(latest) } : {}),
    ...Object.fromEntries(
      Object.entries(meansOfGroups(latest ?? [])).map(([name, value]) => [`held_out_${name}`, value]),
    ),
    ...Object.fromEntries(groups.map(({ name, loss }) => [`held_out_loss.${name}`, loss])),
    best_step: best.step,
    best_loss: best.loss,
  };
}

/** `step 300, loss 0.0012, held-out loss 0.0500, best 0.0400 at step 200`, and what the controllers do. */
function closing(
  step: number,
  metrics: Readonly<Record<string, number>> | undefined,
  { best, latest }: HeldOutWatch,
  said: string,
): string {
  const loss = metrics ? `, loss ${stepLoss(metrics)}` : "";
  const isLast = best?.step === step;
  const held = latest ? `, held-out loss ${lossText(latest)}` : "";
  const where = best ? `, best ${isLast ? "" : `${best.loss.toFixed(4)} `}at step ${best.step}` : "";
  return `step ${step}${loss}${held}${where}${said}`;
}

/** Where kernels were timed: how long each took. */
async function tellTimes(context: RunContext, { timer }: Gpu): Promise<void> {
  for (const { kernel, runs, seconds } of (await timer?.times()) ?? [])
    context.info(`  ${kernel}: ${runs} runs, ${(1000 * seconds).toFixed(1)} ms`);
}
