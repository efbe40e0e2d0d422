/**
 * DOGE: task arithmetic with one correction per weight, shared by all task vectors and found without data.
 *
 * Wei et al., ICML 2025, https://arxiv.org/abs/2501.01230. For every matrix but embeddings: lambda_k = eta / |tau_k|;
 * Delta minimises sum_j sum_o (sum_i tau_j (tau_j - sum_k lambda_k tau_k - sum_k lambda_k Delta))_oi^2 by Adam, whose
 * gradients are projected away from the subspace that the task vectors share (`subspace`: 1 / share of the rank). The
 * result is base + sum_k lambda_k mask_k (tau_k + Delta), mask_k the `topk` largest values of tau_k over all of these
 * matrices, equal ones included. Norms, biases, embeddings and the head stay those of the base. Adam scales single
 * values and so leaves the projection a little; `exact_projection` projects Delta too after every step. Shared
 * subspaces of large weights are approximate (shared-subspace.ts).
 */

import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import { foldGroups } from "../../../gpu/grid.ts";
import { isInside } from "../../../model/names.ts";
import { matmul } from "../../../tensor/linear-algebra/matmul.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { magnitudeDigits, orderStatistics, rowSizes } from "../../selection/order-statistics.ts";
import { descend } from "../../updates/adam.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";
import { sharedSubspace } from "../../updates/shared-subspace.ts";

const options = {
  eta: { type: "number > 0", default: 0.07, help: "each task vector is scaled to this length, per tensor" },
  subspace: { type: "number >= 1", default: 6, help: "1 / this share of the rank is protected" },
  topk: { type: "0 < number <= 1", default: 0.3, help: "share of each task vector that is kept, over all matrices" },
  steps: { type: "number.integer >= 0", default: 400, help: "steps of Adam per matrix" },
  lr: { type: "number > 0", default: 1e-4, help: "rate of Adam" },
  exact_projection: { type: "boolean", default: false, help: "keep the correction itself out of the shared subspace" },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

/** Matrices but embeddings and heads: what is merged. */
const isMerged = ({ shape, name }: Pick<Inputs, "shape" | "name">): boolean => shape.length === 2 && isInside(name);

/** Least magnitude that is kept, per model, over all matrices; nothing is read when all of it is kept. */
async function survey(all: readonly Inputs[]): Promise<ReadonlyMap<number, number>> {
  const tensors = all.filter(isMerged);
  const first = tensors[0];
  if (!first) return new Map();
  const { topk } = first.values;
  const other = tensors.find(({ values }) => values.topk !== topk);
  if (other) {
    throw new UserError(
      `${other.name} has topk ${other.values.topk} but ${first.name} has ${topk}`,
      "values are ranked over all matrices; give one topk",
    );
  }
  const sizes = [...rowSizes(tensors)];
  if (topk === 1) return new Map(sizes.map(([row]) => [row, 0]));
  const wanted = sizes.map(([row, size]) => ({ row, rank: Math.min(Math.floor(size * (1 - topk)), size - 1) }));
  const cuts = await orderStatistics(wanted, magnitudeDigits(tensors));
  return new Map(sizes.map(([row], i) => [row, cuts[i]!]));
}

/** The task vectors as f32, one after the other. One pass. */
async function gather(job: Inputs): Promise<GPUBuffer> {
  const bytes = 4 * job.size * job.count;
  const limit = job.gpu.adapter.limits.maxStorageBufferBindingSize ?? 2 ** 27;
  if (bytes > limit) {
    throw new UserError(
      `${job.name}: ${job.count} task vectors of ${job.size} values need ${bytes} bytes in one binding; this adapter binds ${limit}`,
      "use another adapter, or steps: 0 for this tensor by a filter",
    );
  }
  const tau = job.hold(bytes, "task vectors");
  const kernel = await job.gpu.kernel("merge/task-vector", { flags: job.flags() });
  await job.each((chunk) => {
    for (let k = 0; k < job.count; k++) {
      job.gpu.run(kernel, {
        bind: { stack: chunk.stack, values: tau },
        params: {
          n: chunk.length,
          pitch: chunk.pitch,
          slot: job.first + k,
          start: k * job.size + chunk.start,
        },
        groups: job.spans(chunk),
      });
    }
  });
  return tau;
}

/** Subtracts from x (rows, columns) its part in the span of the basis. */
async function project(job: Inputs, x: GPUBuffer, basis: GPUBuffer, rank: number, scratch: GPUBuffer): Promise<void> {
  const { rows, columns } = job;
  const b = { buffer: basis, rows, columns: rank };
  const inside = { buffer: scratch, rows: rank, columns };
  const whole = { buffer: x, rows, columns };
  await matmul(job.gpu, { form: "tn", a: b, b: whole, c: inside });
  await matmul(job.gpu, { form: "nn", a: b, b: inside, c: whole, scale: -1, accumulate: true });
}

/** The shared correction; the caller frees it. */
async function correction(job: Inputs, lambdas: readonly number[]): Promise<PooledBuffer> {
  const { gpu, rows, columns, values } = job;
  const tau = await gather(job);
  const weights = job.constants(new Float32Array(lambdas), "lambdas");
  const total = lambdas.reduce((a, b) => a + b, 0);
  const shared = await sharedSubspace(gpu, tau, { rows, columns, count: job.count }, values.subspace);
  const gradient = await gpu.kernel("merge/doge-gradient");
  try {
    const scratch = job.hold(4 * Math.max(1, shared?.rank ?? 0) * columns, "shared part");
    const outside = async (x: GPUBuffer) => shared && project(job, x, shared.basis.buffer, shared.rank, scratch);
    return await descend(gpu, {
      size: job.size,
      steps: values.steps,
      lr: values.lr,
      label: job.name,
      async gradient(delta, g) {
        gpu.run(gradient, {
          bind: { tau, lambdas: weights, delta, g },
          params: { rows, columns, k: job.count, total },
          groups: foldGroups(rows),
        });
        await outside(g);
      },
      ...(values.exact_projection && { after: outside }),
    });
  } finally {
    shared?.basis.free();
  }
}

export const method = mergeMethod({
  name: "doge",
  title: "DOGE (adaptive projective gradient descent)",
  about: "norm-balanced task arithmetic with a shared correction found without data",
  cite: "arXiv:2501.01230",
  laws: {
    equalInputs: true,
    equalModels: "keeps the largest changes, at a fixed length",
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: "gives every task vector a fixed length",
  },
  trials: [{ steps: 3 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  scratch: 40,
  options,
  survey,

  /** Three passes; per matrix and step two passes over K task vectors and two products with the shared basis. */
  async merge(job) {
    const { eta, steps } = job.values;
    if (!isMerged(job)) return takeInput(job, -1);
    const gram = await job.gram({ delta: true });
    const lambdas = gram.map((row, k) => (row[k]! > 0 ? eta / Math.sqrt(row[k]!) : 0));
    const moves = lambdas.some((lambda) => lambda > 0);
    using delta = steps > 0 && moves ? await correction(job, lambdas) : undefined;
    const table = job.task.modelIndex.flatMap((index, k) => [lambdas[k]!, job.survey.get(index)!]);
    const rows = job.constants(new Float32Array(table), "rows");
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/doge", { flags: [...job.flags(), ...(delta ? ["corrected"] : []), ...out] }, chunk, {
        bind: { stack: chunk.stack, rows, ...(delta && { delta: delta.buffer }), result },
        params: { n: chunk.length, pitch: chunk.pitch, k: job.count, start: chunk.start },
      });
    });
  },
});
