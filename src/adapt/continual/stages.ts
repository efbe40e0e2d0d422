/** The stages of a stream: each one's training set up, run, and what is scored after it. */
import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { trainingSettings } from "../../run/training/build-run.ts";
import { HeldOut, type HeldOutGroup } from "../../run/training/held-out.ts";
import type { OpenedRun } from "../../run/training/open-run.ts";
import { adapterDraws } from "../../run/training/rules/adapter-draws.ts";
import { adapterStages } from "../../run/training/rules/adapter-stages.ts";
import { chosenRules } from "../../run/training/rules/chosen-rules.ts";
import type { RunContext } from "../../run/training/technique.ts";
import { Training } from "../../run/training/train-model.ts";
import type { ADAPT } from "../options.ts";
import type { ContinualMethod, Learner, Scenario, Stage, Stream, Task, TaskScore } from "./contract.ts";
import { readBuffer } from "./earlier-rows.ts";
import { measureTasks } from "./measure.ts";
import { stageObjective } from "./objective.ts";
import type { JointScores } from "./report.ts";
import { readTaskRows, StreamRows } from "./rows.ts";
import { type StreamBatch, stageSource } from "./source.ts";
import type { StreamScores } from "./state.ts";
import type { ReadTasks } from "./tasks.ts";
import { Views, viewsOf } from "./views.ts";

export interface StreamContext extends RunContext {
  readonly args: readonly string[];
  readonly options: RunContext["options"] & Values<typeof ADAPT> & { readonly overwrite?: boolean };
}

/** A stream that is set up. */
export interface StreamRun {
  readonly context: StreamContext;
  readonly chosen: Bound<ContinualMethod>;
  readonly opened: OpenedRun;
  readonly read: ReadTasks;
  /** What no task is about. */
  readonly general: readonly HeldOutGroup[];
  readonly scenario: Scenario;
  /** Scores of joint training on the same tasks, where they are known. */
  readonly joint: JointScores | undefined;
  readonly stages: readonly Stage[];
  readonly model: Model;
  readonly learner: Learner;
}

/** A stage for each task, or one for all. */
export function stagesOf(tasks: readonly Task[], isJoint: boolean): Stage[] {
  const all = tasks.map(({ index }) => index);
  if (isJoint) return [{ index: 0, isLast: true, name: "joint", tasks: all, old: [] }];
  return tasks.map(({ index, name }) => ({
    index,
    isLast: index === tasks.length - 1,
    name,
    tasks: [index],
    old: all.slice(0, index),
  }));
}

/** What a method is given at the beginning. */
export const streamOf = (
  { context, opened, read, scenario, model }: Omit<StreamRun, "learner" | "chosen" | "stages" | "general" | "joint">,
  values: never,
): Stream<never> => ({
  gpu: model.gpu,
  model,
  values,
  tasks: read.tasks,
  rows: read.rows,
  tokenizer: opened.opened.tools?.tokenizer,
  scenario,
  seed: context.seed,
  batchSize: context.options.batch_size,
  signal: context.signal,
  dry: model.gpu.dry,
  resumed: opened.saved !== undefined,
  given: opened.start.given,
  async unlabelled(files) {
    const groups = parseGroups(files, context.options.columns, "rows without labels");
    const { tools, examples } = opened.opened;
    const read = [];
    for (const group of groups)
      read.push(await readTaskRows(group, { tools, examples: { ...examples, unlabelled: true } }));
    return new StreamRows(read);
  },
  async earlier(file) {
    const found = await readBuffer(file, { opened: opened.opened, rows: read.rows });
    read.earlier.push(...found.tasks);
    return found;
  },
  info: (text) => context.info(text),
});

/** A stage whose training is set up. */
export interface StageTraining {
  readonly training: Training<StreamBatch>;
  readonly steps: number;
}

/** Sets up the training of a stage: all of its memory is taken. */
export async function setUpStage(run: StreamRun, stage: Stage): Promise<StageTraining> {
  const { context, opened, read, general, model, learner } = run;
  const { options } = context;
  const work = (await learner.stage?.(stage)) ?? {};
  const seen = [...stage.old, ...stage.tasks];
  const { mix, parts, meet } = work;
  if (meet && options.accumulate > 1)
    throw new UserError(
      "the method looks at the batch of a step before it is learnt, and --accumulate makes several",
      "raise --batch-size in its place; --recompute makes room",
    );
  const fresh = read.rows.of(stage.tasks);
  const order = opened.opened.order;
  const source = stageSource({
    ...{ name: stage.name, rows: read.rows, fresh, order, mix },
    ...(parts ? { parts } : {}),
    ...(meet ? { meet: meet.bind(work) } : {}),
  });
  const perEpoch = Math.ceil(source.batchesPerEpoch / options.accumulate);
  const asked = options.steps ?? Math.max(1, Math.round((options.epochs ?? 1) * perEpoch));
  const steps = work.still ? 0 : asked;
  work.planned?.(steps, options.accumulate);
  const setup = {
    model,
    views: work.classes ? onlyClasses(work.classes, model.sizes.outputs, options.smoothing) : viewsIn(run, seen),
    ...(options.smoothing ? { smoothing: options.smoothing } : {}),
    ...(options.z_loss ? { zLoss: options.z_loss } : {}),
    recompute: options.recompute,
    ...(options.norm === "adab2n" && stage.index >= options.norm_loss_from ? { normGap: options.norm_loss } : {}),
  };
  const rules = await chosenRules(context, { ...opened.opened, model, steps }, opened.ruleFiles);
  rules.push(...adapterStages(model, () => stage.index + 1, steps, context.seed));
  rules.push(...adapterDraws(model, steps, context.seed));
  model.gpu.pool.trim(); // what the stage before took does not stay beside this one
  const training = await Training.make<StreamBatch>({
    model,
    source,
    objective: stageObjective(setup, work),
    heldOut: general,
    ...trainingSettings(context, opened.choices, steps, { model, rules }, work),
  });
  return { training, steps };
}

/** Views of some classes for all rows. Throws UserError where smoothing gives probability to others. */
function onlyClasses(classes: readonly number[], outputs: number, smoothing = 0): Views | undefined {
  if (classes.length === outputs) return undefined;
  if (smoothing > 0)
    throw new UserError(
      "--smoothing gives some probability to every class, and the method learns a task by some of them",
      "leave it out",
    );
  return new Views(outputs, () => classes);
}

/** What rows may be given once tasks are seen; those of streams before were seen earlier. */
function viewsIn({ read, scenario, model }: Pick<StreamRun, "read" | "scenario" | "model">, seen: readonly number[]) {
  const { tasks, earlier } = read;
  const known = [...earlier.map(({ index }) => index), ...seen];
  return viewsOf(scenario, [...tasks, ...earlier], known, model.sizes.outputs);
}

/** Every task, and what no task is about, after the stages so far. */
export async function score(
  { read, general, scenario, model, learner }: StreamRun,
  seen: readonly number[],
): Promise<{ readonly tasks: readonly TaskScore[]; readonly general: StreamScores["general"][number] }> {
  const views = viewsIn({ read, scenario, model }, seen);
  const everything = Array.from({ length: model.sizes.outputs }, (_, i) => i);
  const visible = (task: number) => views?.of(task) ?? everything;
  const classify = learner.classify?.bind(learner);
  const options = { model, views, visible, ...(classify ? { classify } : {}) };
  const plain = (tasks: ReadTasks["measured"]) => measureTasks(options, tasks);
  const { measured, measuredRows: rows } = read;
  const tasks = await (learner.measure?.({ rows, tasks: measured, score: plain }) ?? plain(measured));
  if (general.length === 0) return { tasks, general: [] };
  const held = new HeldOut(model, general);
  const losses = await held.losses();
  await held.free();
  return { tasks, general: losses.map(({ name, loss }) => ({ name, loss })) };
}
