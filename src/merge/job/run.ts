/**
 * Runs a method over every tensor of a plan, several tensors at a time within a bound of device memory, writing in
 * order.
 */
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { UserError } from "../../errors.ts";
import type { Adapter } from "../../gpu/device.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { stagingBytes } from "../../gpu/transfer.ts";
import { bind } from "../../method/bind.ts";
import { isOperand } from "../../tensor/load.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import type { MergeMethod } from "../contract.ts";
import { footprint, type Layout, layoutOf } from "./chunk-sizes.ts";
import { type DeviceSink, Outlets, type TensorSink } from "./ordered-writer.ts";
import { entriesOf, type JobSettings, type MergeTask, type ValuedTask } from "./task.ts";
import { TensorInputs } from "./tensor-inputs.ts";
import { MergeJob } from "./tensor-job.ts";

/** Memory for tensors at work. One that needs more than this runs alone. */
export const BUDGET_BYTES = 448 << 20;

/** More tensors at a time than this gain nothing: one loads, one computes, one writes. */
const AT_ONCE = 6;

/** Kernels index values of a tensor with 32 bits. */
const MOST_VALUES = 2 ** 31;

/**
 * The method's values for a task: method-wide ones, and those that go per model as arrays in the order of the models.
 */
export function valuesOf(method: MergeMethod, task: ValuedTask) {
  const values: Record<string, unknown> = { ...task.values };
  for (const [name, option] of Object.entries(method.options)) {
    if (option.per === "model") values[name] = task.perModel.map((one) => one[name]);
  }
  return bind(method, values).values;
}

/** Bun and the driver with its compiled kernels. */
const RUNTIME_BYTES = 220 << 20;

/** What a copy holds of a tensor at a time, and types that are decoded here: a strip, and the values as f32. */
const HOST_PIECES_BYTES = 16 << 20;

/** Most memory of a run, in bytes: tensors at work, and the process with its staging memory. */
export interface Peak {
  readonly gpu: number;
  readonly host: number;
}

/**
 * Neither depends on how many tensors there are. Reckoned for the adapter if given, else for a GPU with the least
 * limits that WebGPU allows. A software driver keeps the one in the other.
 */
export function peakBytes(tasks: readonly ValuedTask[], method: MergeMethod, adapter?: Adapter): Peak {
  const of = adapter ?? { type: "discrete" as const, limits: {} };
  const merged = tasks.filter((task) => task.kind === "merge");
  const layouts = merged.map((task) => ({ task, layout: layoutOf(task, method.passes, of) }));
  const needs = layouts.map(({ task, layout }) => ({
    gpu: footprint(layout, method.scratch ?? 0) + heldBy(method, task).gpu,
    host: heldBy(method, task).host,
  }));
  const most = (side: "gpu" | "host") => {
    const largest = needs
      .map((need) => need[side])
      .sort((a, b) => b - a)
      .slice(0, AT_ONCE);
    const together = largest.reduce((a, b) => a + b, 0);
    return Math.max(largest[0] ?? 0, Math.min(together, BUDGET_BYTES));
  };
  const staging = stagingBytes(layouts.flatMap(uploadsOf)) + stagingBytes(layouts.flatMap(readbacksOf));
  const decodes = tasks.some((task) => task.kind === "copy" || entriesOf(task).some(({ dtype }) => !isOperand(dtype)));
  const pieces = decodes ? AT_ONCE * HOST_PIECES_BYTES : 0;
  return {
    gpu: most("gpu"),
    host: RUNTIME_BYTES + staging + pieces + most("host"),
  };
}

/** What a method holds of a tensor besides chunks and scratch. */
function heldBy(method: MergeMethod, { name, shape, models }: MergeTask): { gpu: number; host: number } {
  return { gpu: 0, host: 0, ...method.holds?.({ name, shape, count: models.length }) };
}

type Cut = { readonly task: ValuedTask; readonly layout: Layout };

/** Bytes of the transfers of a task to the device; more than a ring holds need not be counted. */
function uploadsOf({ task, layout }: Cut): number[] {
  const widths = entriesOf(task).map(({ dtype }) => (isOperand(dtype) ? DTYPE_BYTES[dtype] : 4));
  return widths.flatMap((width) => transfers(layout, width));
}

const readbacksOf = ({ task: { outDtype }, layout }: Cut): number[] =>
  transfers(layout, isOperand(outDtype) ? DTYPE_BYTES[outDtype] : 4);

const transfers = ({ size, chunkLength, chunkCount }: Layout, width: number): number[] =>
  Array.from({ length: Math.min(chunkCount, AT_ONCE) }, () => Math.min(size, chunkLength) * width);

/** A bound on a sum, granted in the order of asking. */
class Budget {
  readonly #limit: number;
  readonly #waiting: { need: number; start: () => void }[] = [];
  #used = 0;
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async take(need: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(need)) return this.#grant(need);
    await new Promise<void>((resolve) => this.#waiting.push({ need, start: resolve }));
  }

  give(need: number): void {
    this.#used = need === Number.POSITIVE_INFINITY ? 0 : this.#used - need;
    this.#running -= 1;
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0]!.need)) {
      const next = this.#waiting.shift()!;
      this.#grant(next.need);
      next.start();
    }
  }

  #fits(need: number): boolean {
    return this.#running === 0 || (this.#used + need <= this.#limit && this.#running < AT_ONCE);
  }

  #grant(need: number): void {
    this.#used += need;
    this.#running += 1;
  }
}

export interface MergeRun {
  readonly gpu: Gpu;
  readonly method: MergeMethod;
  readonly tasks: readonly ValuedTask[];
  /** Tensors that only a survey sees, because another process writes them. */
  readonly elsewhere?: readonly ValuedTask[];
  readonly sink: TensorSink | DeviceSink;
  readonly settings: JobSettings;
  /** Some input is a pipe: tensors of several chunks run alone, so that it is read in its order. */
  readonly inOrder?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called when a tensor is written. */
  readonly done?: (task: ValuedTask) => void;
}

/**
 * Refuses tensors that kernels cannot index, and numbers that f32 cannot hold: they would become infinities without a
 * word.
 */
function refuseLarge({ name, shape, values, perModel }: ValuedTask): void {
  if (sizeOf(shape) > MOST_VALUES) {
    throw new UserError(
      `${name} has more than ${MOST_VALUES} values`,
      "no known model has such a tensor; is it damaged?",
    );
  }
  for (const [option, value] of [values, ...perModel].flatMap(Object.entries)) {
    if (typeof value === "number" && Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
      throw new UserError(`${name}: ${option} is ${value}, more than f32 can hold`, "give a number below 3.4e38");
    }
  }
}

type Seen = Pick<MergeRun, "gpu" | "method" | "tasks" | "elsewhere" | "settings">;

/** Shows the method every tensor, if it asks for that. */
const surveyed = (run: Seen): Promise<unknown> =>
  seenBy(run, run.method.survey && ((tensors) => run.method.survey!(tensors)));

/** What a dry run finds wrong with the checkpoints that a method's options name. `gpu` may be a dry one. */
export const precheck = (run: Seen): Promise<unknown> =>
  seenBy(run, run.method.precheck && ((tensors) => run.method.precheck!(tensors)));

async function seenBy(
  { gpu, method, tasks, elsewhere = [], settings }: Seen,
  look: ((tensors: readonly TensorInputs<never>[]) => Promise<unknown>) | undefined,
): Promise<unknown> {
  if (!look) return undefined;
  const seen = [...tasks, ...elsewhere].filter((task) => task.kind === "merge");
  // In the order of names: what a survey finds must not depend on which tensors this process writes.
  seen.sort((a, b) => (a.name < b.name ? -1 : 1));
  const tensors = seen.map(
    (task) => new TensorInputs({ gpu, task, values: valuesOf(method, task), settings, passes: "one" }),
  );
  try {
    return await look(tensors);
  } finally {
    await Promise.all(tensors.map((inputs) => inputs.close()));
  }
}

/** Device memory that a job needs; all of it where its tensor must be alone. */
function needOf({ method, inOrder }: MergeRun, task: ValuedTask, { layout }: MergeJob): number {
  if (inOrder && !layout.resident && layout.chunkCount > 1) return Number.POSITIVE_INFINITY;
  const { gpu, host } = heldBy(method, task);
  return task.kind === "copy" ? 0 : footprint(layout, method.scratch ?? 0) + gpu + host;
}

/** Writes one tensor. */
async function write(method: MergeMethod, task: ValuedTask, job: MergeJob<never>): Promise<void> {
  if (job.size === 0) return job.emit(() => {});
  if (task.kind === "copy") return job.copy(entriesOf(task)[0]!);
  const merged = method.merge(job);
  job.prefetch(); // after the method's first step, which may be to copy: a pipe's bytes come only once
  await merged;
}

/** Merges every tensor. Rejects with the first failure once all work that was started has ended. */
export async function mergeTensors(run: MergeRun): Promise<void> {
  const { gpu, method, settings } = run;
  for (const task of run.tasks) refuseLarge(task);
  const survey = await surveyed(run);
  const outlets = new Outlets(gpu, run.sink);
  const budget = new Budget(BUDGET_BYTES);
  const jobs: Promise<void>[] = [];
  let failure: { error: unknown } | undefined;
  for (const task of run.tasks) {
    if (failure || run.signal?.aborted) break;
    const outlet = outlets.next();
    const values = valuesOf(method, task);
    const job = new MergeJob({ gpu, task, values, settings, passes: method.passes, outlet, survey });
    const need = needOf(run, task, job);
    await budget.take(need);
    const work = async () => {
      try {
        if (failure) return;
        await write(method, task, job);
        run.done?.(task);
      } catch (error) {
        failure ??= { error };
      } finally {
        outlet.release();
        await job.close();
        budget.give(need);
      }
    };
    jobs.push(work());
  }
  await Promise.all(jobs);
  (survey as Partial<Disposable> | undefined)?.[Symbol.dispose]?.(); // it may hold files open
  if (failure) throw failure.error;
  run.signal?.throwIfAborted();
}
