/**
 * Sums of client updates: base + sum_k c_k (x_k - start_k), where each client began at the base or at another
 * checkpoint.
 *
 * The federated aggregators share this and differ in the coefficients.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { OptionSpec } from "../../method/options.ts";
import { type ExtraCheckpoints, loadExtra, openExtraCheckpoints } from "../job/extra-checkpoints.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import { addTaskVectors } from "./add-task-vectors.ts";

/** Stands for the base among the starts. */
const ORIGIN = "origin";

export const startOption = {
  start: {
    type: "string",
    per: "model",
    default: ORIGIN,
    value: "CKPT",
    names: "checkpoint",
    help: "checkpoint that a late client began from; origin is the base",
  },
} as const satisfies Record<string, OptionSpec>;

interface Starts {
  readonly start: readonly string[];
}

/** Opens the starts that are named; the survey of an aggregator. */
export async function openStarts(tensors: readonly TensorInputs<Starts>[]): Promise<ExtraCheckpoints> {
  const refs = tensors.flatMap(({ values }) => values.start).filter((ref) => ref !== ORIGIN);
  return openExtraCheckpoints(refs, "starts of updates");
}

/** One side input per model; `fallback` stands for `origin`. Throws a UserError when one lacks the tensor. */
export function extraEntries(
  job: TensorInputs,
  inputs: ExtraCheckpoints,
  refs: readonly string[],
  fallback?: TensorEntry,
): TensorEntry[] {
  return refs.map((ref, k) => {
    const entry = ref === ORIGIN && fallback ? fallback : inputs.find(job, k, ref);
    if (entry) return entry;
    throw new UserError(`${ref} has no tensor ${job.name}`, "it must be a checkpoint of the same model");
  });
}

/** Writes sum_s weights[s] x_s (base first, if there is one) + sum_k steps[k] (x_k - starts[k]). One pass. */
export async function addUpdates(
  job: MergeJob,
  weights: readonly number[],
  steps: readonly number[],
  starts: readonly TensorEntry[],
): Promise<void> {
  const held = job.constants(new Float32Array([...weights, ...steps]), "weights");
  await job.emit(async (chunk, result, out) => {
    using side = await loadExtra(job, chunk, starts);
    await job.run("merge/add-updates", { flags: [...job.flags(), ...out] }, chunk, {
      bind: { stack: chunk.stack, starts: side.buffer, weights: held, result },
      params: {
        n4: chunk.n4,
        pitch: chunk.pitch,
        starts_pitch: side.pitch,
        slots: job.slots,
        k: job.count,
        first: job.first,
      },
    });
  });
}

/** Writes base + sum_k coefficients[k] (x_k - start_k). */
export async function applyClientUpdates(
  job: MergeJob<Starts, ExtraCheckpoints>,
  coefficients: readonly number[],
): Promise<void> {
  const { start } = job.values;
  if (start.every((ref) => ref === ORIGIN)) {
    return addTaskVectors(
      job,
      coefficients.map((plain) => ({ plain })),
    );
  }
  const entries = extraEntries(job, job.survey, start, job.task.base);
  await addUpdates(job, [1, ...coefficients.map(() => 0)], coefficients, entries);
}
