/**
 * WUDI: one update of every matrix that disturbs no task along that task's own update, found by descent without data.
 *
 * Cheng et al., ICML 2025, https://arxiv.org/abs/2503.08099: M minimises sum_i |(M - tau_i) tau_i^T|^2 / |tau_i|^2 by
 * `steps` steps of Adam from sum_i tau_i; rows of tau_i stand for the inputs of task i. Matrices of the blocks are
 * merged so, experts of a stack one by one; of embeddings, heads, norms and biases the mean task vector is added, as
 * the authors' code does with what it does not optimise.
 *
 * The gradient is 2 (X A + C) with X = M - sum_i tau_i, A = sum_i tau_i^T tau_i / |tau_i|^2 and
 * C = sum_i (sum_(j != i) tau_j) tau_i^T tau_i / |tau_i|^2, so a step is one product however many models there are,
 * and one model is left as it is, to the bit.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { SPAN, spanGroups } from "../../../gpu/grid.ts";
import { matmul } from "../../../tensor/linear-algebra/matmul.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import type { MergeJob } from "../../job/tensor-job.ts";
import { descend } from "../../updates/adam.ts";
import { addTaskVectors, takeInput } from "../../updates/add-task-vectors.ts";
import { gatherTaskVectors, pitchOf } from "../../updates/gather.ts";
import { hasDirections, lambdaOption } from "../../updates/spectral.ts";

const options = {
  ...lambdaOption,
  steps: { type: "number.integer >= 0", default: 300, help: "steps of Adam per matrix; 0 adds up the task vectors" },
  lr: { type: "number > 0", default: 1e-5, help: "rate of Adam: how far a value moves in a step, at most" },
} as const;

type Job = MergeJob<MergeValues<typeof options>, undefined>;

/** The task vectors of one matrix. */
interface Tasks {
  readonly rows: number;
  readonly columns: number;
  readonly pitch: number;
  readonly tau: GPUBuffer;
}

/** 1 / |tau_i|^2, and 0 for a model that changes nothing. */
async function scales(job: Job, { tau, pitch }: Tasks): Promise<number[]> {
  const kernel = await job.gpu.kernel("merge/squares");
  const found: number[] = [];
  for (let slot = 0; slot < job.count; slot++) {
    const spans = Math.ceil(pitch / 4 / SPAN);
    using partials = job.gpu.buffer(4 * spans, `${job.name} squares`);
    const params = { n4: pitch / 4, pitch: pitch / 4, slot };
    job.gpu.run(kernel, { bind: { stack: tau, partials: partials.buffer }, params, groups: spanGroups(pitch / 4) });
    const square = (await job.gpu.readFloats(partials.buffer, spans)).reduce((sum, value) => sum + value, 0);
    found.push(square === 0 ? 0 : 1 / square);
  }
  return found;
}

/** Writes sum_k weights[k] x_k of arrays `pitch` apart. */
async function addUp(gpu: Gpu, x: GPUBuffer, pitch: number, weights: readonly number[], into: GPUBuffer) {
  using held = gpu.upload(Float32Array.from(weights), "weights");
  gpu.run(await gpu.kernel("merge/combine", { constants: { K: weights.length } }), {
    bind: { stack: x, weights: held.buffer, result: into },
    params: { n4: pitch / 4, pitch: pitch / 4, divisor: 1 },
    groups: spanGroups(pitch / 4),
  });
}

/** A (columns, columns) and 2 C (rows, columns), which `using` gives back. */
async function quadratic(job: Job, tasks: Tasks) {
  const { gpu } = job;
  const { rows, columns, pitch, tau } = tasks;
  const a = gpu.buffer(4 * columns ** 2, `${job.name} A`);
  const c = gpu.buffer(4 * pitch, `${job.name} C`);
  using others = gpu.buffer(4 * pitch, `${job.name} other tasks`);
  const side = Math.min(rows, columns);
  using product = gpu.buffer(4 * side ** 2, `${job.name} product`);
  const wide = rows <= columns;
  const whole = { rows, columns };
  const middle = { buffer: product.buffer, rows: side, columns: side };
  gpu.clear(a.buffer, 4 * columns ** 2);
  gpu.clear(c.buffer, 4 * pitch);
  for (const [k, scale] of (await scales(job, tasks)).entries()) {
    const own = { ...whole, buffer: tau, start: k * pitch };
    const d = { ...whole, buffer: others.buffer };
    const into = { ...whole, buffer: c.buffer };
    const sum = { buffer: a.buffer, rows: columns, columns };
    const weights = Array.from({ length: job.count }, (_, i) => (i === k ? 0 : 1));
    await addUp(gpu, tau, pitch, weights, others.buffer);
    await matmul(gpu, { form: "tn", a: own, b: own, c: sum, scale, accumulate: true });
    // The smaller of d tau^T and tau^T tau is kept.
    if (wide) {
      await matmul(gpu, { form: "nt", a: d, b: own, c: middle });
      await matmul(gpu, { form: "nn", a: middle, b: own, c: into, scale: 2 * scale, accumulate: true });
    } else {
      await matmul(gpu, { form: "tn", a: own, b: own, c: middle });
      await matmul(gpu, { form: "nn", a: d, b: middle, c: into, scale: 2 * scale, accumulate: true });
    }
  }
  const dispose = () => {
    a.free();
    c.free();
  };
  return { a: a.buffer, c: c.buffer, [Symbol.dispose]: dispose };
}

/** Writes M of one matrix to its place in the whole update. */
async function optimise(job: Job, whole: GPUBuffer, start: number): Promise<void> {
  const { gpu, values } = job;
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  const length = rows * columns;
  const pitch = pitchOf(length);
  using held = await gatherTaskVectors(job, { start, length });
  const tasks: Tasks = { rows, columns, pitch, tau: held.buffer };
  using parts = await quadratic(job, tasks);
  using x = await descend(gpu, {
    size: length,
    steps: values.steps,
    lr: values.lr,
    label: job.name,
    async gradient(at, g) {
      gpu.copy(parts.c, 0, g, 0, 4 * length);
      const change = { buffer: at, rows, columns };
      const sum = { buffer: parts.a, rows: columns, columns };
      await matmul(gpu, { form: "nn", a: change, b: sum, c: { ...change, buffer: g }, scale: 2, accumulate: true });
    },
  });
  // sum_i tau_i + X, as a combination of two slots.
  using both = gpu.buffer(8 * pitch, `${job.name} sum and change`);
  using update = gpu.buffer(4 * pitch, `${job.name} update`);
  gpu.clear(both.buffer, 8 * pitch);
  await addUp(gpu, tasks.tau, pitch, Array(job.count).fill(1), update.buffer);
  gpu.copy(update.buffer, 0, both.buffer, 0, 4 * pitch);
  gpu.copy(x.buffer, 0, both.buffer, 4 * pitch, 4 * length);
  await addUp(gpu, both.buffer, pitch, [1, 1], update.buffer);
  gpu.copy(update.buffer, 0, whole, 4 * start, 4 * length);
}

export const method = mergeMethod({
  name: "wudi",
  title: "WUDI (weights that disturb no task)",
  about: "an update that disturbs no task along its own changes, by descent without data",
  cite: "arXiv:2503.08099",
  laws: {
    equalInputs: true,
    equalModels: "begins with the sum of all",
    order: true,
    baseAtZero: true,
    homogeneous: "moves by steps of a fixed length",
  },
  trials: [{ steps: 3 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  scratch: 4,
  options,

  /** Memory of one matrix at a time: K task vectors, eight arrays of its size, and A. */
  holds({ name, shape, count }) {
    if (count < 2 || !hasDirections({ name, shape, size: sizeOf(shape) })) return { gpu: 0 };
    const [rows, columns] = shape.slice(-2) as [number, number];
    return { gpu: 4 * ((count + 8) * rows * columns + columns ** 2 + Math.min(rows, columns) ** 2) };
  },

  /** Two passes. Each step is one product of (rows, columns) and (columns, columns). */
  async merge(job) {
    const { lambda } = job.values;
    if (job.count === 0 || lambda === 0) return takeInput(job, -1);
    if (job.count === 1) return addTaskVectors(job, [{ plain: lambda }]);
    if (!hasDirections(job)) return addTaskVectors(job, Array(job.count).fill({ plain: lambda / job.count }));
    const [rows, columns] = job.shape.slice(-2) as [number, number];
    const whole = job.hold(4 * job.size, "update");
    for (let start = 0; start < job.size; start += rows * columns) await optimise(job, whole, start);
    await job.emit(async (chunk, result, out) => {
      using part = job.gpu.buffer(16 * chunk.n4, `${job.name} update`);
      job.gpu.copy(whole, 4 * chunk.start, part.buffer, 0, 4 * chunk.length);
      await job.run("merge/add-update", { flags: [...job.flags(), ...out] }, chunk, {
        bind: { stack: chunk.stack, update: part.buffer, result },
        params: { n4: chunk.n4, lambda },
      });
    });
  },
});
