/**
 * Metrics of a life of learning from alternating blocks of training and tests. New et al. 2022,
 * https://arxiv.org/abs/2201.08278; Baker et al. 2023, https://arxiv.org/abs/2301.07799
 *
 * Performances are brought to 0 to 100 first. A metric that a log says nothing about is left out.
 */

import { recovery, saturation, smoothed, terminal, theilSen } from "./curves.ts";
import type { Block } from "./log.ts";

export interface LifelongOptions {
  /** What later tests are held against: the first test after the last training, or the end of that training. */
  readonly reference: "evaluation" | "training";
  /** Share of a block that is its end. */
  readonly terminal: number;
  /** Width of the smoothing window, as a share of the curve. */
  readonly smooth: number;
}

/** Transfer from one task to another. */
export interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly kind: "forward" | "backward";
  /** (after − before) / (after + before). */
  readonly contrast: number;
  /** after / before; left out where before is 0 and after is not. */
  readonly ratio?: number;
}

/** Metrics of one task, or their means over the tasks. */
export interface LifelongMetrics {
  /** Mean of later tests minus the reference: 0 without forgetting. */
  readonly performance_maintenance?: number;
  readonly forward_transfer_contrast?: number;
  readonly forward_transfer_ratio?: number;
  readonly backward_transfer_contrast?: number;
  readonly backward_transfer_ratio?: number;
  /** Area under the learning curve beside that of an expert of the task alone. */
  readonly relative_performance?: number;
  /** How high and how fast the curve saturates, beside the expert's. */
  readonly sample_efficiency?: number;
  /** −slope of the times that each new training takes to be as good as before: above 0, faster each time. */
  readonly performance_recovery?: number;
}

const mean = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;

const ofType = (blocks: readonly Block[], type: Block["type"], task: string) =>
  blocks.flatMap(({ block, type: own, performance }) => {
    const values = performance.get(task);
    return own === type && values ? [{ block, values }] : [];
  });

/** Later tests minus the reference of the training before them. */
function maintenance(blocks: readonly Block[], task: string, options: LifelongOptions): number | undefined {
  const differences: number[] = [];
  let reference: number | undefined;
  let isTrained = false;
  for (const { type, performance } of blocks) {
    const values = performance.get(task);
    if (!values) continue;
    if (type === "train") {
      isTrained = true;
      reference = options.reference === "training" ? terminal(values, options.terminal) : undefined;
      continue;
    }
    const now = terminal(values, options.terminal);
    if (reference !== undefined) differences.push(now - reference);
    else if (isTrained) reference = now;
  }
  return mean(differences);
}

/** Tasks that are trained between a test and the next of the same task, in the order of the log. */
function trainedBetween(blocks: readonly Block[], from: number, to: number): string[] {
  const trained = blocks.filter(({ block, type }) => type === "train" && block > from && block < to);
  return [...new Set(trained.flatMap(({ performance }) => [...performance.keys()]))];
}

/**
 * Transfer to a task from each other task: of every two tests in a row between which one other task was trained. Where
 * several were, none can be told as the cause.
 */
function transfersTo(blocks: readonly Block[], to: string, options: LifelongOptions): Transfer[] {
  const tests = ofType(blocks, "test", to);
  const first = ofType(blocks, "train", to)[0]?.block ?? Number.POSITIVE_INFINITY;
  return tests.slice(1).flatMap(({ block, values }, i) => {
    const [from, ...others] = trainedBetween(blocks, tests[i]!.block, block);
    if (from === undefined || from === to || others.length > 0) return [];
    const [before, after] = [terminal(tests[i]!.values, options.terminal), terminal(values, options.terminal)];
    const kind = first > block ? ("forward" as const) : ("backward" as const);
    if (before === after) return [{ from, to, kind, contrast: 0, ratio: 1 }];
    const contrast = (after - before) / (after + before);
    if (!Number.isFinite(contrast)) return [];
    return [{ from, to, kind, contrast, ...(before === 0 ? {} : { ratio: after / before }) }];
  });
}

/** Means of a task's curve beside experts of it alone. */
function besideExperts(curve: readonly number[], experts: readonly (readonly number[])[], smooth: number) {
  const relative: number[] = [];
  const efficiency: number[] = [];
  const own = saturation(curve, smooth);
  for (const expert of experts) {
    const common = Math.min(curve.length, expert.length);
    const area = (values: readonly number[]) => values.slice(0, common).reduce((sum, value) => sum + value, 0);
    const best = saturation(expert, smooth);
    const ratios = [area(curve) / area(expert), (own.value / best.value) * (best.experiences / own.experiences)];
    if (Number.isFinite(ratios[0])) relative.push(ratios[0]!);
    if (Number.isFinite(ratios[1])) efficiency.push(ratios[1]!);
  }
  return { relative: mean(relative), efficiency: mean(efficiency) };
}

/**
 * Experiences of each training but the first until the curve is where the training before it ended. A training that
 * does not get there counts as long as it is.
 */
export function recoveryTimes(trainings: readonly (readonly number[])[], options: LifelongOptions) {
  let never = 0;
  const times = trainings.slice(1).map((values, i) => {
    const level = terminal(smoothed(trainings[i]!, options.smooth), options.terminal);
    const time = recovery(values, level, options.smooth);
    if (time === undefined) never++;
    return time ?? values.length;
  });
  return { times, never };
}

const kept = <T extends object>(found: T) =>
  Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as LifelongMetrics;

export interface Lifelong {
  readonly tasks: Readonly<Record<string, LifelongMetrics>>;
  /** Means over the tasks that have the metric. */
  readonly lifetime: LifelongMetrics;
  readonly transfers: readonly Transfer[];
  /** Trainings after the first that never got back to where the one before ended. */
  readonly unrecovered: number;
}

/** Metrics of a life. `experts` has learning curves of tasks that were learnt alone. */
export function lifelongMetrics(
  blocks: readonly Block[],
  experts: ReadonlyMap<string, readonly (readonly number[])[]>,
  options: LifelongOptions,
): Lifelong {
  const names = [...new Set(blocks.flatMap(({ performance }) => [...performance.keys()]))];
  const transfers = names.flatMap((name) => transfersTo(blocks, name, options));
  const tasks: Record<string, LifelongMetrics> = {};
  let unrecovered = 0;
  for (const name of names) {
    const trainings = ofType(blocks, "train", name).map(({ values }) => values);
    const of = (kind: Transfer["kind"]) => transfers.filter((each) => each.to === name && each.kind === kind);
    const [forward, backward] = [of("forward"), of("backward")];
    const { times, never } = recoveryTimes(trainings, options);
    unrecovered += never;
    const curve = trainings.flat();
    const beside = curve.length > 0 ? besideExperts(curve, experts.get(name) ?? [], options.smooth) : undefined;
    const slope = theilSen(times);
    tasks[name] = kept({
      performance_maintenance: maintenance(blocks, name, options),
      forward_transfer_contrast: mean(forward.map(({ contrast }) => contrast)),
      forward_transfer_ratio: mean(forward.flatMap(({ ratio }) => ratio ?? [])),
      backward_transfer_contrast: mean(backward.map(({ contrast }) => contrast)),
      backward_transfer_ratio: mean(backward.flatMap(({ ratio }) => ratio ?? [])),
      relative_performance: beside?.relative,
      sample_efficiency: beside?.efficiency,
      performance_recovery: slope === undefined ? undefined : 0 - slope,
    });
  }
  return { tasks, lifetime: lifetimeOf(Object.values(tasks)), transfers, unrecovered };
}

function lifetimeOf(tasks: readonly LifelongMetrics[]): LifelongMetrics {
  const names = [...new Set(tasks.flatMap((task) => Object.keys(task)))] as (keyof LifelongMetrics)[];
  return kept(Object.fromEntries(names.map((name) => [name, mean(tasks.flatMap((task) => task[name] ?? []))])));
}

/** Lowest and highest performance, of all tasks or of each. */
export type Ranges = (task: string) => readonly [low: number, high: number];

/** Ranges of what is in the blocks. */
export function rangesOf(blocks: readonly Block[], by: "task" | "run"): Ranges {
  const found = new Map<string, [number, number]>();
  for (const { performance } of blocks)
    for (const [task, values] of performance) {
      const key = by === "task" ? task : "";
      const range = found.get(key) ?? [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (const value of values) {
        range[0] = Math.min(range[0], value);
        range[1] = Math.max(range[1], value);
      }
      found.set(key, range);
    }
  return (task) => found.get(by === "task" ? task : "")!;
}

/** Blocks with performances from 0 (the low end of a range) to 100 (the high end); 100 for a range of one value. */
export const normalized = (blocks: readonly Block[], ranges: Ranges): Block[] =>
  blocks.map(({ performance, ...block }) => ({
    ...block,
    performance: new Map(
      [...performance].map(([task, values]) => {
        const [low, high] = ranges(task);
        return [task, values.map((value) => (high > low ? 100 * ((value - low) / (high - low)) : 100))];
      }),
    ),
  }));
