/** What is learnt of a merge: groups of its tensors, and the numbers behind their coefficients. */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { MergeMethod } from "../contract.ts";
import { valuesOf } from "../job/run.ts";
import type { JobSettings, ValuedTask } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import type { Coefficients, FreeNumbers, Tuning } from "./contract.ts";
import { Columns, fixedGroups, type Group, groupsOf } from "./groups.ts";
import type { LossName } from "./losses.ts";
import { byGroup, type CoefficientTable } from "./table.ts";

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
  /** Divides the cosines of pairs. */
  readonly temperature?: number | undefined;
  readonly offload: boolean;
  /** How the tasks' gradients count; alike when left out. */
  readonly weights?: "equal" | "pareto";
  /** Rows that guide the weights of pareto, as `NAME=FILE`. */
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

/** What is learnt: groups of tensors, and the numbers behind their coefficients. */
export interface Subject {
  readonly tuning: Tuning;
  readonly values: unknown;
  readonly groups: readonly Group[];
  readonly fixed: readonly Group[];
  readonly columns: Columns;
  readonly free: FreeNumbers;
  readonly lossName: LossName;
}

/** What a method learns of a plan. Throws UserError where nothing is to learn. */
export function subjectOf({ plan, method }: TuneRun): Subject {
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
export function withCoefficients(
  plan: MergePlan,
  { groups, columns, tuning }: Subject,
  values: Float64Array,
): MergePlan {
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
export const modelsOf = ({ plan }: TuneRun, { indices }: Columns): string[] =>
  indices.map((index) => plan.models[index]!);

/** The table of the coefficients that were learnt. */
export function tableOf(run: TuneRun, subject: Subject, values: Float64Array, steps: number): CoefficientTable {
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
