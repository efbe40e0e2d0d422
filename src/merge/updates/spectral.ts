/**
 * Merging by singular vectors: a method makes one update of the task matrices of a weight, on the host in f64.
 *
 * Weights that map activations are matrices, experts of a stacked tensor one by one. Embeddings, heads, norms, biases
 * and kernels of convolutions have no such directions: their task vectors are averaged.
 *
 * The host holds one task matrix and its factors in f64, and the update of the whole tensor in f32. n being the shorter
 * side and m the longer, a decomposition takes about 6 n^3 + 2 m n^2 multiplications.
 */
import { isInside } from "../../model/names.ts";
import {
  type HostMatrix,
  hostMatrix,
  polarFactor,
  stackedRows,
  type Triplets,
} from "../../tensor/linear-algebra/leading-svd.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import type { MergeValues, TypedMergeMethod } from "../contract.ts";
import { mergeMethod } from "../contract.ts";
import type { Chunk } from "../job/chunks.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import { addTaskVectors, takeInput } from "./add-task-vectors.ts";
import { addUpdate } from "./add-update.ts";

/** Option of every method here. */
export const lambdaOption = {
  lambda: { type: "number", default: 1, help: "scale of the update" },
} as const;

type Shared = MergeValues<typeof lambdaOption>;

/** The task matrices of one weight. */
export interface TaskMatrices {
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
  /** Reads the one of model k: its own copy. */
  read(k: number): Promise<HostMatrix>;
}

/** What is special to one method. */
export interface SpectralMethod<O extends typeof lambdaOption>
  extends Pick<TypedMergeMethod<O, undefined>, "name" | "title" | "about" | "cite" | "laws" | "options" | "trials"> {
  /** The update of one weight, before lambda; `values` are the method's options. */
  update(tasks: TaskMatrices, values: MergeValues<O>): Promise<HostMatrix>;
}

/** Makes a method: base + lambda * update on matrices, base + lambda * mean task vector elsewhere. */
export function spectralMethod<const O extends typeof lambdaOption>({ update, ...info }: SpectralMethod<O>) {
  return mergeMethod<O>({
    ...info,
    models: [1, Number.POSITIVE_INFINITY],
    base: "required",
    heights: "equal",
    passes: "many",

    /** Task matrices, their factors and the update of one weight, in f64, beside the whole update in f32. */
    holds({ name, shape }) {
      const size = sizeOf(shape);
      if (!hasDirections({ name, shape, size })) return {};
      const [rows, columns] = shape.slice(-2) as [number, number];
      const side = Math.min(rows, columns);
      return { host: 4 * size + 8 * (3 * rows * columns + 3 * side ** 2 + 2 * side * (rows + columns)) };
    },

    /** A pass for each reading of a model, one for the output. */
    async merge(job: MergeJob<MergeValues<O>, undefined>) {
      const { lambda } = job.values as Shared;
      if (job.count === 0 || lambda === 0) return takeInput(job, -1);
      if (!hasDirections(job)) return addTaskVectors(job, Array(job.count).fill({ plain: lambda / job.count }));
      const whole = new Float32Array(job.size);
      for (const [index, tasks] of matricesOf(job).entries()) {
        whole.set(await finiteUpdate(tasks, (read) => update(read, job.values)), index * tasks.rows * tasks.columns);
      }
      await addUpdate(job, whole, lambda);
    },
  });
}

/** Weights of blocks, and loose ones that are no table, head or norm: (rows, columns) or a stack of these. */
export const hasDirections = ({ shape, name, size }: Pick<TensorInputs, "shape" | "name" | "size">): boolean =>
  (shape.length === 2 || shape.length === 3) && size > 0 && shape.slice(-2).every((side) => side > 1) && isInside(name);

/** One for a matrix, one per expert for a stack. */
function matricesOf(job: TensorInputs): TaskMatrices[] {
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  return Array.from({ length: job.size / (rows * columns) }, (_, index) => ({
    count: job.count,
    rows,
    columns,
    read: async (k) => hostMatrix(rows, columns, await taskValues(job, k, index * rows * columns, rows * columns)),
  }));
}

/** NaN everywhere where a task matrix has a value that is not finite: it has no singular vectors then. */
async function finiteUpdate(
  tasks: TaskMatrices,
  update: (tasks: TaskMatrices) => Promise<HostMatrix>,
): Promise<Float32Array> {
  let finite = true;
  const found = await update({
    ...tasks,
    async read(k) {
      const matrix = await tasks.read(k);
      if (matrix.values.every(Number.isFinite)) return matrix;
      finite = false;
      return hostMatrix(tasks.rows, tasks.columns);
    },
  });
  return finite ? Float32Array.from(found.values) : new Float32Array(found.values.length).fill(Number.NaN);
}

/** `length` values of the task vector of model k from `start` on. */
async function taskValues(job: TensorInputs, k: number, start: number, length: number): Promise<Float64Array> {
  const values = new Float64Array(length);
  const kernel = await job.gpu.kernel("merge/task-vector", { flags: job.flags() });
  for (const [index, range] of job.ranges.entries()) {
    const [from, to] = [Math.max(start, range.start), Math.min(start + length, range.start + range.length)];
    if (from >= to) continue;
    await job.visit(index, async (chunk: Chunk) => {
      using held = job.gpu.buffer(4 * chunk.length, `${job.name} task vector`);
      job.gpu.run(kernel, {
        bind: { stack: chunk.stack, values: held.buffer },
        params: { n: chunk.length, pitch: chunk.pitch, slot: job.first + k, start: 0 },
        groups: job.spans(chunk),
      });
      const found = await job.gpu.readFloats(held.buffer, chunk.length);
      values.set(found.subarray(from - range.start, to - range.start), from - start);
    });
  }
  return values;
}

/** The sum of all task matrices. */
export async function summed(tasks: TaskMatrices): Promise<HostMatrix> {
  const sum = hostMatrix(tasks.rows, tasks.columns);
  for (let k = 0; k < tasks.count; k++) {
    const { values } = await tasks.read(k);
    for (const [i, x] of values.entries()) sum.values[i]! += x;
  }
  return sum;
}

/** Triplets of several matrices, all left and all right vectors replaced by the orthonormal ones nearest to them. */
export function orthogonalised(parts: readonly Triplets[], { rows, columns }: TaskMatrices): Triplets {
  const side = (of: "left" | "right", length: number) =>
    polarFactor(
      stackedRows(
        parts.map((part) => part[of]),
        length,
      ),
    );
  const s = Float64Array.from(parts.flatMap((part) => [...part.s]));
  return { s, left: side("left", rows), right: side("right", columns) };
}
