/**
 * A stream of tasks from the command line to the checkpoint: a row of trainings on one model. Phases as in
 * run-training.ts; the loop of stages takes the place of the one training.
 */

import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { NeedsValues } from "../../gpu/dry-device.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { flagOf } from "../../method/options.ts";
import { saveResult } from "../../model/save.ts";
import type { Outcome } from "../../run/command-context.ts";
import { trainsAdapter } from "../../run/training/adapter-choice.ts";
import { firstBatches, measuring } from "../../run/training/adapter-inputs.ts";
import { prepareOutput, type RunOutput } from "../../run/training/build-run.ts";
import { type SavedRun, VERSION, withSavedTraining } from "../../run/training/found-state.ts";
import { readHeldOut } from "../../run/training/held-out.ts";
import { type OpenedRun, openRun, withClasses } from "../../run/training/open-run.ts";
import { refuseGroups, refuseUnmatched, warnOfSchedule } from "../../run/training/option-checks.ts";
import { stepLoss } from "../../run/training/run-loop.ts";
import { saveState } from "../../run/training/saved-state.ts";
import { removeState } from "../../run/training/state-folder.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { refuseBuffer, saveBuffer } from "./buffer-file.ts";
import type { ContinualMethod, Stage } from "./contract.ts";
import { refuseFurther, saveFurther } from "./further.ts";
import { refreshed } from "./refresh.ts";
import { metricsLine, readJointScores, streamMetrics, streamTable } from "./report.ts";
import { NEW, stageSource } from "./source.ts";
import {
  type StageTraining,
  type StreamContext,
  type StreamRun,
  score,
  setUpStage,
  stagesOf,
  streamOf,
} from "./stages.ts";
import {
  learnerTensors,
  loadLearner,
  refuseOtherRows,
  rowDigests,
  type StreamScores,
  type StreamState,
  streamStateOf,
} from "./state.ts";
import { listed, type ReadTasks, readTasks } from "./tasks.ts";
import { techniqueOf } from "./technique.ts";
import { describeStream, streamResult, tellOtherScores, tellStage } from "./tell.ts";

/** How long an interrupted run may take to finish its step and save. */
const SAVING_SECONDS = 600;

/** Options of one training that a row of them has no meaning for. */
const REFUSED = ["data", "best", "patience", "keep", "sample_prompts", "mixture"] as const;

function refuseOptions({ options }: StreamContext): void {
  for (const name of REFUSED)
    if (options[name] !== undefined)
      throw new UserError(`${flagOf(name)} is for one training, and --tasks makes several`, "leave one of them out");
  for (const name of ["mixup", "contrastive"] as const)
    if (options[name] > 0)
      throw new UserError(
        `${flagOf(name)} changes the loss of a training without tasks, and --tasks has losses of its method's`,
        "leave one of them out; prd and fscil have contrastive losses of their own",
      );
}

/** Throws UserError for a scenario that the model, or another option, does not go with. */
function refuseScenario({ options }: StreamContext, isText: boolean): void {
  const { scenario, smoothing = 0 } = options;
  if (scenario === "domain") return;
  if (isText)
    throw new UserError(
      `--scenario ${scenario} hides classes, and a language model has none`,
      "leave it out, or take a classifier",
    );
  if (smoothing > 0)
    throw new UserError(
      `--smoothing gives some probability to every class, and --scenario ${scenario} hides some`,
      "leave one of them out",
    );
}

/** Classes of the tasks, where they are more than the model has. Throws UserError where its head cannot grow. */
function classesNeeded({ options, info }: StreamContext, known: number, { tasks }: ReadTasks): number | undefined {
  const needed = 1 + Math.max(-1, ...tasks.flatMap(({ classes }) => classes));
  if (needed <= known) return undefined;
  const isAdapter = trainsAdapter(options);
  if (isAdapter || options.init !== undefined)
    throw new UserError(
      `the tasks have ${needed} classes, and the model has ${known}`,
      isAdapter
        ? "an adapter does not grow the head: train without one"
        : `set num_labels to ${needed} in ${options.init}`,
    );
  info(`the head grows from ${known} to ${needed} classes; rows of new ones are drawn by --seed`);
  return needed;
}

/** Opens, reads and loads all that a stream needs; on a device that computes nothing in a dry run. */
async function open(context: StreamContext, method: ContinualMethod): Promise<StreamRun> {
  const { options } = context;
  refuseOptions(context);
  if ((method.config || options.norm !== "own") && trainsAdapter(options))
    throw new UserError(
      `${method.config ? method.name : `--norm ${options.norm}`} changes what the model is, and an adapter leaves it as it is`,
      "leave the adapter out",
    );
  const chosen = bind(method, context.settings);
  method.check?.(chosen.values);
  const technique = techniqueOf(context, method, chosen.values);
  // --eval-data are rows that no task is about; --eval-split is of the tasks.
  const { eval_data = [], ...besides } = options;
  const given = { ...context, options: { ...besides, eval_data: undefined } };
  const plain = await openRun(given, technique);
  context.progress.start({ unit: "rows" });
  const read = await readTasks({ ...options, tasks: options.tasks! }, plain.opened);
  const classes = classesNeeded(context, plain.opened.sizes.outputs, read);
  const opened = classes === undefined ? plain : await withClasses(given, technique, plain, classes);
  refuseScenario(context, opened.opened.tools !== undefined);
  const references = parseGroups(eval_data, options.columns, "--eval-data");
  const general = await readHeldOut(references, opened.opened, options.batch_size);
  context.progress.done();
  const gpu = await openGpu({ device: context.device, profile: options.profile, dry: context.dryRun });
  context.onExit(() => gpu.close());
  const stages = stagesOf(read.tasks, method.joint === true);
  const model = await opened.start.load(gpu, measuringFirst(context, opened, read, stages[0]!));
  refuseUnmatched(options, [...model.parameters.keys()], opened.start.ref);
  if (model.trainable().length === 0) throw new UserError("every weight is frozen", "change --freeze or --train-only");
  refuseGroups(
    model,
    read.tasks.map(({ name }) => name),
  );
  const joint =
    options.joint_scores === undefined ? undefined : await readJointScores(options.joint_scores, read.tasks);
  const begun = { context, opened, read, scenario: options.scenario, model, joint };
  const stream = streamOf(begun, chosen.values);
  const begunLearner = await method.begin(stream);
  const learner = options.refresh ? refreshed(begunLearner, stream, options) : begunLearner;
  return { ...begun, chosen, general, stages, learner };
}

/** What an adapter begins with where that is of the data: the first rows of the first stage, in its order. */
const measuringFirst = (context: StreamContext, { opened }: OpenedRun, { rows }: ReadTasks, first: Stage) =>
  measuring(context, opened.architecture.parameters(opened.config), (wanted) => {
    const source = stageSource({ name: first.name, rows, fresh: rows.of(first.tasks), order: opened.order });
    return firstBatches(async () => {
      const { batch, epoch } = await source.next();
      return { batch: batch[NEW]!.batch, epoch };
    }, wanted);
  });

/** Where a run stands between stages. */
interface Place {
  /** Steps of the stages that are done. */
  readonly steps: number;
  readonly state: StreamState;
  /** Of a run that resumes: the training of the next stage as it was. */
  readonly saved?: SavedRun;
}

/** Learns task after task. Throws UserError. */
export async function runStream(context: StreamContext, method: ContinualMethod): Promise<Outcome> {
  if (context.dryRun) {
    await planned(context, method);
    return {};
  }
  const run = await open(context, method);
  const { opened, model, learner, stages } = run;
  if (run.read.measuresLearned)
    context.info("every task is measured on the rows that are learnt; --eval-tasks or --eval-split holds rows out");
  refuseFurther(run);
  refuseBuffer(run);
  const output = await prepareOutput(context, techniqueOf(context, method, run.chosen.values), opened, {}, model);
  const { folder } = opened;
  if (folder !== undefined) context.grace(SAVING_SECONDS);
  context.log.start({ device: model.gpu.adapter.device, parameters: model.parameterCount() });
  let place = await begin(run);
  for (const stage of stages.slice(place.state.stage)) place = await learn(run, output, stage, place);
  await learner.finish?.();
  return end(run, output, place);
}

/** The model before the first stage, scored; or the place of a run that resumes. */
async function begin(run: StreamRun): Promise<Place> {
  const { opened, learner, model, context } = run;
  const { saved } = opened;
  if (saved) {
    const state = await streamStateOf(saved, run.stages.length);
    refuseOtherRows(state, run.read, saved.folder);
    await withSavedTraining(saved, (tensors) => loadLearner(model.gpu, learner, state.method, tensors));
    const step = saved.progress.training.step;
    context.info(`continuing after step ${step} of ${run.stages[state.stage]!.name}`);
    return { steps: saved.progress.row!.steps, state, saved };
  }
  const { tasks, general } = await score(run, []);
  const scores: StreamScores = { before: tasks, after: [], general: [general] };
  tellStage(run, undefined, scores);
  return { steps: 0, state: { stage: 0, scores, method: learner.state?.() ?? null, rows: rowDigests(run.read) } };
}

/** Trains a stage, lets the method act, and scores every task. */
async function learn(run: StreamRun, output: RunOutput, stage: Stage, place: Place): Promise<Place> {
  const { context, opened, learner } = run;
  const { training, steps } = await setUpStage(run, stage);
  if (place.steps === 0 && steps > 0) warnOfSchedule(context, opened.choices, steps); // once, not at every stage
  if (place.saved) await withSavedTraining(place.saved, (tensors) => training.load(tensors));
  await trainStage(run, output, stage, place, { training, steps });
  await training.free();
  await learner.learned?.(stage);
  const seen = [...stage.old, ...stage.tasks];
  const { tasks, general } = await score(run, seen);
  const before = place.state.scores;
  const scores = { ...before, after: [...before.after, tasks], general: [...before.general, general] };
  tellStage(run, stage, scores);
  return {
    steps: place.steps + training.step,
    state: { ...place.state, stage: stage.index + 1, scores, method: learner.state?.() ?? null },
  };
}

/** The steps of a stage, with states saved on the way. Throws UserError when it was interrupted. */
async function trainStage(
  { context, opened, model, learner }: StreamRun,
  { inputs, lineage }: RunOutput,
  stage: Stage,
  place: Place,
  { training, steps }: StageTraining,
): Promise<void> {
  const { options, signal, log, progress } = context;
  const { folder, settings } = opened;
  const save = async (step: number) => {
    const { progress: now, tensors } = training.state();
    const row = { steps: place.steps, state: JSON.parse(JSON.stringify(place.state)) };
    await saveState(folder!, {
      model,
      tensors: [...tensors, ...learnerTensors(learner)],
      progress: { version: VERSION, settings, inputs, training: now, row },
      files: opened.opened.files,
      lineage,
    });
    if (signal.aborted) context.info(`saved step ${step} of ${stage.name} in ${folder}; continue with --resume`);
  };
  progress.start({ total: steps, unit: "steps" });
  progress.advance(training.step);
  const units = opened.opened.tools ? "tokens" : "examples";
  const result = await training.run({
    signal,
    log: { event: (name, fields) => log.event(name, { task: stage.name, ...fields }) },
    logEvery: options.log_every,
    name: stage.name,
    warn: (message) => context.warn(message),
    onStep: ({ metrics }, speed) =>
      progress.advance(
        1,
        `${stage.name}, ${Math.round(speed)} ${units}/s${training.said}`,
        `loss ${stepLoss(metrics)}`,
      ),
    evalEvery: options.eval_every,
    ...(options.eval_every > 0 ? { evaluate: async () => false } : {}),
    ...(folder === undefined ? {} : { save, saveEvery: options.save_every }),
  });
  progress.done();
  if (result.step === steps) return;
  if (folder === undefined)
    throw new UserError(
      `stopped after step ${result.step} of ${steps} of ${stage.name}; nothing was saved`,
      "give --state DIR to save when interrupted",
      1,
    );
  signal.throwIfAborted();
}

/** Plans on a device that computes nothing; for real where the plan depends on values. */
async function planned(context: StreamContext, method: ContinualMethod): Promise<void> {
  let run: StreamRun;
  try {
    run = await open(context, method);
  } catch (error) {
    if (!(error instanceof NeedsValues)) throw error;
    context.info("what this run takes depends on the model's values: it is loaded for the plan");
    run = await open({ ...context, dryRun: false }, method);
  }
  await planStream(run);
}

/** Memory of every stage, on a device that computes nothing. */
async function planStream(run: StreamRun): Promise<void> {
  const { stages, learner } = run;
  const planned = [];
  for (const stage of stages) {
    const { training, steps } = await setUpStage(run, stage);
    planned.push({ stage, steps, memory: training.memory(learner.memory?.() ?? {}) });
    await training.free();
    await learner.learned?.(stage);
  }
  describeStream(run, planned);
}

/** Writes the result, and says what was learnt and lost. */
async function end(run: StreamRun, output: RunOutput, { steps, state }: Place): Promise<Outcome> {
  const { context, opened, model, learner, read, stages } = run;
  const { saving, writer } = output;
  const bytes = await saveResult(model, writer ?? context.out, saving, context.log.run);
  await saveFurther(run, output);
  saveBuffer(run);
  if (opened.folder !== undefined) removeState(opened.folder);
  const metrics = streamMetrics(state.scores, stages.length, run.joint);
  tellOtherScores(run);
  const result = streamResult(run, state.scores, metrics, steps);
  learner.free?.();
  context.json(result);
  context.info(streamTable(read.tasks, stages, state.scores, metrics));
  const ref = `${model.adapter ? `${opened.start.under}+` : ""}${context.out}`;
  const data = parseGroups(listed(context.options.tasks!)).map(({ path }) => path);
  return {
    output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`,
    told: `${steps} steps, ${metricsLine(metrics.accuracy ?? metrics.loss)}`,
    ...(context.out === "-" ? {} : { next: `bun run evaluate ${quote(ref)} --data ${quote(data[0]!)}` }),
    log: result,
  };
}
