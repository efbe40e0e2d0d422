/** The merged model with its tasks, ready to learn coefficients. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import type { NamedModel } from "../../model/names.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import { MOST_OBJECTIVES } from "../../run/training/pareto-weights.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { valuesOf } from "../job/run.ts";
import { entriesOf } from "../job/task.ts";
import type { FreeNumbers } from "./contract.ts";
import { LOSSES, type LossName } from "./losses.ts";
import { MergedWeights } from "./merged-weights.ts";
import type { Subject, TuneRun } from "./subject.ts";
import { loadExpert, readGuide, readTasks, type TaskRows, type TuneTask, withOwnHead } from "./tasks.ts";

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
export interface Ready {
  readonly tasks: readonly TuneTask[];
  readonly guide: TuneTask | undefined;
  readonly weights: MergedWeights;
  readonly free: FreeNumbers;
  readonly loss: (typeof LOSSES)[LossName];
  readonly parameters: readonly Parameter[];
  close(): Promise<void>;
}

/** Reads the rows, loads the merged model and what stands beside it. Throws UserError where they do not fit. */
export async function makeReady(gpu: Gpu, run: TuneRun, subject: Subject): Promise<Ready> {
  const { plan, method, settings, tune, own, warn } = run;
  const { tuning, groups, fixed, columns, lossName } = subject;
  const experts = columns.indices.map((index) => plan.inputs[index]!);
  if (tune.weights === "pareto" && tune.data.length > MOST_OBJECTIVES)
    throw new UserError(`--tune-weights pareto takes ${MOST_OBJECTIVES} tasks at most`, "leave it out, or some tasks");
  const loss = LOSSES[lossName];
  if (tune.temperature !== undefined && !loss.needsPairs)
    throw new UserError(
      `--tune-temperature has no effect on --loss ${lossName}`,
      "leave it out, or take --loss infonce",
    );
  const checkpoint = mergedCheckpoint(run, experts[0]!);
  const text = { ...(tune.length === undefined ? {} : { max_length: tune.length }) };
  const embeds = loss.needsPairs ? { temperature: tune.temperature } : undefined;
  const described = await describeModel({ ...checkpoint, embeds }, text, warn);
  const rows = await readTasks(described, experts, {
    ...{ data: tune.data, columns: tune.columns, batchSize: tune.batch, seed: settings.seed, text, warn },
    ...{ own: own ?? (() => false), byModel: own !== undefined || loss.needsExperts, needsLabels: loss.needsLabels },
  });
  const unlearnt = new Set(plan.tensors.filter(({ kind }) => kind === "copy").map(({ name }) => name));
  const frozen = (name: string) => unlearnt.has(name) || own?.(name) === true;
  const model = await Model.load(gpu, checkpoint, { freeze: frozen, dtype: "f32", embeds, warn });
  const weights = await MergedWeights.make(model, {
    ...{ groups: [...groups, ...fixed], columns, settings, offload: tune.offload },
    valuesOf: (task) => valuesOf(method, task),
    ...{ prepare: tuning.prepare, preparedDtype: tuning.preparedDtype },
  });
  const beside: { free(): void }[] = [];
  const tasks: TuneTask[] = [];
  for (const [k, one] of rows.entries()) tasks.push(await taskOf(gpu, one, experts[k], { model, own, loss, beside }));
  const guide = await guideOf(run, described, loss, model);
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

/** The rows of `--tune-guide`, scored by the merged model as it is. */
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
