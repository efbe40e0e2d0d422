/**
 * What a method says of a result that is built otherwise than its inputs: other widths, other numbers of blocks,
 * several networks in one. Every tensor of the result is a weighted sum of parts, each a tensor of an input seen in
 * the shape of the result (gather.ts), so that what is repeated, paired, joined or left out is said by places alone.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { NamedModel } from "../../model/names.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import type { RestackedLayers } from "../plan/output-config.ts";

/** A tensor of an input in the shape of the output, and what it is multiplied by. */
export interface Part {
  /** Which input: the models in their order, then the base. */
  readonly input: number;
  readonly entry: TensorEntry;
  readonly share: number;
}

export interface OutlinedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** One part with a share of 1 is copied, whatever its type. */
  readonly parts: readonly Part[];
}

export interface Outline {
  readonly tensors: readonly OutlinedTensor[];
  /** Blocks of the result, if they are not those of the model that gives the files. */
  readonly stacks?: readonly RestackedLayers[];
  /** Fields of config.json by name; those that it does not have are left out. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** The head is a tensor of its own, though the config says that it is the embedding. */
  readonly untied?: boolean;
  /** What should be known of the result, a line each. */
  readonly notes?: readonly string[];
}

/** What an outline is made of. */
export interface Outlined<V = unknown> {
  readonly models: readonly NamedModel[];
  readonly base: NamedModel | undefined;
  readonly values: V;
}

/** Writes the weighted sum of the parts: what the methods with an outline do with a tensor. One pass. */
export const combineParts = (job: MergeJob<never, unknown>): Promise<void> =>
  job.combine(job.task.shares ?? job.task.models.map(() => 1 / job.count));
