/** From the plan of a merge to the same plan with coefficients that were learnt from data, or read from a table. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import type { NamedModel } from "../../model/names.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import { MOST_OBJECTIVES } from "../../run/training/pareto-weights.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import type { MergeMethod } from "../contract.ts";
import { valuesOf } from "../job/run.ts";
import { entriesOf, type JobSettings, type ValuedTask } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import type { Coefficients, FreeNumbers, Tuning } from "./contract.ts";
import { Columns, fixedGroups, type Group, groupsOf } from "./groups.ts";
import { learn, TaskLosses } from "./learn.ts";
import { LOSSES, type LossName } from "./losses.ts";
import { MergedWeights } from "./merged-weights.ts";
import { byGroup, type CoefficientTable, lossEnds, readTable } from "./table.ts";
import { loadExpert, readGuide, readTasks, type TaskRows, type TuneTask, withOwnHead } from "./tasks.ts";

/** What the user says of the learning. */
export interface TuneSettings {
  readonly data: readonly string[];
  readonly columns?: string | undefined;
  /** The method's own numbers when left out. */
  readonly steps?: number | undefined;
  readonly rate?: number | undefined;
  /** Rows of each task in a step. */
  readonly batch: number;
  readonly length?: number | undefined;
  readonly offload: boolean;
  /** How the tasks' gradients count; alike when left out. */
  readonly weights?: "equal" | "pareto";
  /** Rows that guide the weights of pareto, as \`NAME=FILE\`. */
  readonly guide?: string | undefined;
  /** A table that takes the place of learning. */
  readonly table?: string | undefined;
}

export interface TuneRun {
  readonly plan: MergePlan;
  readonly method: MergeMethod;
  readonly settings: JobSettings;
  readonly tune: TuneSettings;
  /** Tensors that are each model's own. */
  readonly own?: ((name: string) => boolean) | undefined;
  readonly openGpu: () => Promise<Gpu>;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly done?: (step: number, loss: number) => void;
}

export interface Tuned {
  readonly plan: MergePlan;
  readonly table: CoefficientTable;
}

/** What is learnt: groups of tensors, and the numbers behind their coefficients. */
interface Subject {
  readonly tuning: Tuning;
  readonly values: unknown;
  readonly groups: readonly Group[];
  readonly fixed: readonly Group[];
  readonly columns: Columns;
  readonly free: FreeNumbers;
  readonly lossName: LossName;
}

function subjectOf({ plan, method }: TuneRun): Subject {
  const tuning = method.tune as Tuning;
  const first = plan.tensors.find(({ kind, models }) => kind === "merge" && models.length > 0);
  if (!first) throw new UserError("there is no tensor to merge", "do the models share any?");
  const values = valuesOf(method, first);
  const columns = new Columns(plan.tensors);
  const granularity = tuning.granularity(values);
  const fromDepth = tuning.fromDepth?.(values) ?? 0;
  const grouping = { granularity, fromDepth, option: tuning.sets, columns };
  const groups = groupsOf(plan.tensors, grouping);
  if (groups.length === 0)
    throw new UserError(`no tensor lies at a depth of ${fromDepth} or more`, "lower --from-depth");
  const start = Float64Array.from(groups.flatMap((group) => group.start));
  const given: Coefficients = { models: columns.count, start };
  return {
    ...{ tuning, values, groups, columns },
    fixed: fixedGroups(plan.tensors, grouping),
    free: tuning.free(given, values),
    lossName: tuning.loss(values),
  };
}

/** The plan with these coefficients in the option of every tensor that is learnt. */
function withCoefficients(plan: MergePlan, { groups, columns, tuning }: Subject, values: Float64Array): MergePlan {
  const groupOf = new Map(groups.flatMap(({ tasks }, g) => tasks.map((task) => [task, g] as const)));
  const tensors = plan.tensors.map((task): ValuedTask => {
    const g = groupOf.get(task);
    if (g === undefined) return task;
    const places = columns.of(task);
    const perModel = task.perModel.map((one, k) => ({
      ...one,
      [tuning.sets]: values[g * columns.count + places[k]!]!,
    }));
    return { ...task, perModel };
  });
  return { ...plan, tensors };
}

/** Names of the models that have coefficients, in their order. */
const modelsOf = ({ plan }: TuneRun, { indices }: Columns): string[] => indices.map((index) => plan.models[index]!);

function tableOf(run: TuneRun, subject: Subject, values: Float64Array, steps: number): CoefficientTable {
  const { groups, columns, tuning, values: options } = subject;
  return {
    method: run.method.name,
    option: tuning.sets,
    granularity: tuning.granularity(options),
    steps,
    models: modelsOf(run, columns),
    coefficients: byGroup(groups, columns.count, values),
  };
}

/** Learns. Throws UserError for data or models that do not fit, and (exit 1) for a loss that is not finite. */
export async function tunePlan(run: TuneRun): Promise<Tuned> {
  const subject = subjectOf(run);
  const { tuning, groups, columns, free } = subject;
  const { tune, method } = run;
  const steps = tune.steps ?? tuning.steps;
  if (tune.table !== undefined) {
    const values = readTable(tune.table, method.name, groups, modelsOf(run, columns));
    return { plan: withCoefficients(run.plan, subject, values), table: tableOf(run, subject, values, 0) };
  }
  if (steps > 0 && tune.data.length === 0)
    throw new UserError(
      `${method.name} learns its coefficients from data`,
      "give --tune-data NAME=FILE once for each task, or --tune-steps 0 for a merge as it would begin",
    );
  if (steps === 0) {
    const values = free.coefficients(free.start);
    return { plan: withCoefficients(run.plan, subject, values), table: tableOf(run, subject, values, 0) };
  }
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  try {
    const { coefficients, losses } = await learn({
      ...ready,
      ...{ gpu, steps, rate: tune.rate ?? tuning.rate, descent: tuning.descent, over: tuning.over },
      pareto: tune.weights === "pareto",
      ...{ seed: run.settings.seed, signal: run.signal, ...(run.done && { done: run.done }) },
    });
    const names = ready.tasks.map(({ name }) => name);
    const values = coefficients.subarray(0, groups.length * columns.count);
    const ends = lossEnds(names, losses);
    const table = { ...tableOf(run, subject, values, steps), ...(ends && { loss: ends }) };
    return { plan: withCoefficients(run.plan, subject, values), table };
  } finally {
    await ready.close();
  }
}

/**
 * Loss and gradient of the numbers that are learnt at several points, over the first batch of every task. `moves`: a
 * point each, from where learning begins.
 */
export async function lossesAt(
  run: TuneRun,
  moves: readonly ((start: Float64Array) => Float64Array)[],
): Promise<{ loss: number; gradient: Float64Array }[]> {
  const subject = subjectOf(run);
  const { over } = subject.tuning;
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  const { free, weights, tasks } = ready;
  const passes = new TaskLosses({ ...ready, gpu, seed: run.settings.seed });
  try {
    const batches = await Promise.all(tasks.map(async ({ source }) => (await source.next()).batch));
    const found: { loss: number; gradient: Float64Array }[] = [];
    for (const move of moves) {
      const point = move(free.start);
      await weights.refresh(free.coefficients(point));
      const { losses, gradient } = await passes.together(batches, 0);
      const share = over === "mean" ? 1 / losses.length : 1;
      const loss = share * losses.reduce((a, b) => a + b, 0) + (free.penalty?.(point) ?? 0);
      const scaled = gradient.map((value) => share * value);
      found.push({ loss, gradient: free.back(point, scaled) });
    }
    return found;
  } finally {
    passes.free();
    await ready.close();
  }
}

/** GPU memory that learning takes, found out on a device that computes nothing. */
export async function plannedTuning(run: TuneRun): Promise<number> {
  const subject = subjectOf(run);
  const gpu = await run.openGpu();
  const ready = await makeReady(gpu, run, subject);
  const passes = new TaskLosses({ ...ready, gpu, seed: 0 });
  await passes.prepare();
  for (const parameter of ready.parameters) void parameter.gradient;
  const bytes = gpu.pool.allocated + ready.weights.inputBytes + ready.weights.workBytes;
  passes.free();
  await ready.close();
  return bytes;
}

/** A tensor of zeros, which is written before it is read. */
const zeros = (name: string, shape: readonly number[]): TensorEntry => ({
  ...{ name, dtype: "F32", shape, bytes: 4 * sizeOf(shape) },
  read: async (into) => {
    into.fill(0);
  },
});

/** The merged model as a checkpoint: what is merged is written later, what is copied is there. */
function mergedCheckpoint({ plan, own }: TuneRun, first: NamedModel): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  for (const task of plan.tensors) {
    if (own?.(task.name)) continue;
    const merged = task.kind === "merge" && task.models.length > 0;
    const entry = merged ? zeros(task.name, task.shape) : { ...entriesOf(task)[0]!, name: task.name };
    tensors.set(task.name, entry);
  }
  const files = new Map(plan.files);
  if (own) {
    for (const [name, entry] of first.tensors) if (own(name)) tensors.set(name, { ...entry, name });
    const config = first.checkpoint.files.get("config.json");
    if (config) files.set("config.json", config);
  }
  return { ...first.checkpoint, ref: "the merged model", tensors, files };
}

/** All that learning holds. */
interface Ready {
  readonly tasks: readonly TuneTask[];
  readonly guide: TuneTask | undefined;
  readonly weights: MergedWeights;
  readonly free: FreeNumbers;
  readonly loss: (typeof LOSSES)[LossName];
  readonly parameters: readonly Parameter[];
  close(): Promise<void>;
}

async function makeReady(gpu: Gpu, run: TuneRun, subject: Subject): Promise<Ready> {
  const { plan, method, settings, tune, own, warn } = run;
  const { tuning, groups, fixed, columns, lossName } = subject;
  const experts = columns.indices.map((index) => plan.inputs[index]!);
  const loss = LOSSES[lossName];
  const checkpoint = mergedCheckpoint(run, experts[0]!);
  const text = { ...(tune.length === undefined ? {} : { max_length: tune.length }) };
  const described = await describeModel(checkpoint, text, warn);
  const rows = await readTasks(described, experts, {
    ...{ data: tune.data, columns: tune.columns, batchSize: tune.batch, seed: settings.seed, text, warn },
    ...{ own: own ?? (() => false), byModel: own !== undefined || loss.needsExperts, needsLabels: loss.needsLabels },
  });
  const unlearnt = new Set(plan.tensors.filter(({ kind }) => kind === "copy").map(({ name }) => name));
  const frozen = (name: string) => unlearnt.has(name) || own?.(name) === true;
  const model = await Model.load(gpu, checkpoint, { freeze: frozen, dtype: "f32", warn });
  const weights = await MergedWeights.make(model, {
    ...{ groups: [...groups, ...fixed], columns, settings, offload: tune.offload },
    valuesOf: (task) => valuesOf(method, task),
    ...{ prepare: tuning.prepare, preparedDtype: tuning.preparedDtype },
  });
  const beside: { free(): void }[] = [];
  const tasks: TuneTask[] = [];
  for (const [k, one] of rows.entries()) tasks.push(await taskOf(gpu, one, experts[k], { model, own, loss, beside }));
  const guide = await guideOf(run, described, loss, model);
  if (tune.weights === "pareto" && tasks.length > MOST_OBJECTIVES)
    throw new UserError(`--tune-weights pareto takes ${MOST_OBJECTIVES} tasks at most`, "leave it out, or some tasks");
  const rest = fixed.flatMap(({ start }) => start);
  const { free } = subject;
  return {
    ...{ tasks, guide, weights, loss, parameters: model.trainable() },
    free: {
      ...free,
      coefficients: (numbers) => Float64Array.of(...free.coefficients(numbers), ...rest),
      back: (numbers, gradient) => free.back(numbers, gradient.subarray(0, groups.length * columns.count)),
    },
    async close() {
      for (const held of beside) held.free();
      await weights.free();
      model.free();
    },
  };
}

/** The rows of \`--tune-guide\`, scored by the merged model as it is. */
async function guideOf(
  { tune, settings, own }: TuneRun,
  described: DescribedModel,
  loss: Ready["loss"],
  model: Model,
): Promise<TuneTask | undefined> {
  if (tune.guide === undefined) return undefined;
  if (own || loss.needsExperts)
    throw new UserError(
      "--tune-guide has no model of its own, and these tasks are scored by theirs",
      own ? "leave it out where tasks have heads of their own" : "leave it out, or take another --loss than kd",
    );
  const { group, source } = await readGuide(described, tune.guide, {
    ...{ columns: tune.columns, batchSize: tune.batch, seed: settings.seed, needsLabels: loss.needsLabels },
  });
  return { name: group.name, source, model, expert: undefined };
}

/** A task with its own head, and its expert beside it, where it has them. */
async function taskOf(
  gpu: Gpu,
  { group, source }: TaskRows,
  input: NamedModel | undefined,
  given: Pick<TuneRun, "own"> & { model: Model; loss: Ready["loss"]; beside: { free(): void }[] },
): Promise<TuneTask> {
  const { own, loss, beside } = given;
  let { model } = given;
  if (own) {
    const headed = await withOwnHead(gpu, model, input!, own);
    beside.push(...headed.parameters);
    model = headed.model;
  }
  const expert = loss.needsExperts ? await loadExpert(gpu, input!) : undefined;
  if (expert) beside.push(expert);
  return { name: group.name, source, model, expert };
}
