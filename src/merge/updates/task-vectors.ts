/**
 * Task-vector merging in general: sparsify each task vector, weigh, elect signs or not, scale, add to the base.
 *
 * The methods task_arithmetic, ties, dare, breadcrumbs and della are choices of a sparsifier and of the election. The order of
 * the steps, the defaults and the special cases are mergekit's.
 */

import { UserError } from "../../errors.ts";
import type { OptionSpec } from "../../method/options.ts";
import { LANES, REDUCE_SPAN, spanGroups } from "../../tensor/load.ts";
import type { Chunk } from "../job/chunks.ts";
import { randomKey } from "../job/random-key.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import { ALL, type Cut, NONE, taskVector } from "../selection/ranked.ts";
import { select } from "../selection/top-k-selection.ts";

/** Options that all of these methods share. */
export const taskVectorOptions = {
  weight: {
    type: "number",
    per: "model",
    required: true,
    help: "of each task vector; may be negative; on the command line 1 if left out",
  },
  lambda: { type: "number", default: 1, help: "scale of the combined task vector" },
  int8_mask: { type: "boolean", default: false, help: "accepted for mergekit's sake; masks take one bit here" },
} as const satisfies Record<string, OptionSpec>;

export const densityOption = {
  density: { type: "0 <= number <= 1", per: "model", default: 1, help: "fraction of each task vector kept" },
} as const satisfies Record<string, OptionSpec>;

export const normalizeOption = (value: boolean) =>
  ({ type: "boolean", default: value, help: "divide by the sum of the weights" }) as const;

export const rescaleOptions = <const B extends boolean>(value: B) =>
  ({
    rescale: { type: "boolean", default: value, help: "give what is left of a task vector its norm back" },
    rescale_norm: {
      type: "'l1' | 'l2' | 'linf' | 'inverse-density'",
      default: "l1",
      help: "which norm; inverse-density is the DARE paper's 1/density",
    },
  }) as const satisfies Record<string, OptionSpec>;

interface Values {
  readonly weight: readonly number[];
  readonly lambda: number;
  readonly normalize: boolean;
  readonly rescale?: boolean;
  readonly rescale_norm?: string;
  readonly density?: readonly number[];
}

/** How one model's task vector is sparsified; the fields of `Sparsity` in wgsl/lib/sparsify.wgsl. */
export interface Sparsity {
  readonly low?: Cut;
  readonly high?: Cut;
  readonly key?: readonly [number, number];
  readonly threshold?: number;
  /** Nothing survives. */
  readonly empty?: boolean;
}

/** What a sparsifier found: the variant of the kernels, one entry per model, and masks if it made any. */
export interface Sparsified {
  readonly flag?: "above" | "by_top" | "by_rank" | "by_chance" | "by_mask";
  readonly models: readonly Sparsity[];
  readonly masks?: { buffer: GPUBuffer; pitch: number };
}

export type Sparsifier<V> = (job: MergeJob<V>) => Promise<Sparsified>;

/** Keeps everything. */
export const dense: Sparsifier<unknown> = async (job) => ({ models: Array.from({ length: job.count }, () => ({})) });

/** Keeps the floor(density n) largest by magnitude. A density that keeps nothing is refused. */
export const magnitude: Sparsifier<{ density: readonly number[] }> = async (job) => {
  const tops = job.values.density.map((density) => Math.floor(density * job.size));
  const bad = tops.findIndex((top, k) => top === 0 && job.values.density[k]! < 1);
  if (bad >= 0) {
    throw new UserError(
      `${job.name}: density ${job.values.density[bad]} keeps none of its ${job.size} values`,
      "give a larger density, or filter this tensor out",
    );
  }
  if (job.values.density.every((density) => density >= 1)) return dense(job);
  const wanted = tops.map((top, k) => ({
    ranked: taskVector(job, k),
    top: job.values.density[k]! >= 1 ? job.size : top,
  }));
  const cuts = await select(job, wanted);
  return { flag: "by_top", models: cuts.map((low) => ({ low })) };
};

/** Keeps each entry with probability density. */
export const bernoulli: Sparsifier<{ density: readonly number[] }> = async (job) => {
  if (job.values.density.every((density) => density >= 1)) return dense(job);
  const models = job.values.density.map((density, k) => ({
    key: randomKey(job.settings.seed, job.name, job.task.modelIndex[k]!),
    threshold: density >= 1 ? 1 << 24 : Math.round(density * 2 ** 24),
  }));
  return { flag: "by_chance", models };
};

/** Words of `Sparsity`. */
const WORDS = 9;

function packSparsity(sparsified: Sparsified, weights: readonly number[], scales: readonly number[]): Uint8Array {
  const data = new DataView(new ArrayBuffer(4 * WORDS * sparsified.models.length));
  for (const [k, model] of sparsified.models.entries()) {
    const at = 4 * WORDS * k;
    const low = model.empty ? NONE : (model.low ?? ALL);
    const high = model.high ?? NONE;
    data.setFloat32(at, model.empty ? 0 : weights[k]!, true);
    data.setFloat32(at + 4, model.empty ? 0 : scales[k]!, true);
    const words = [low.bits, low.index, high.bits, high.index, ...(model.key ?? [0, 0]), model.threshold ?? 1 << 24];
    for (const [w, word] of words.entries()) data.setUint32(at + 8 + 4 * w, word >>> 0, true);
  }
  return new Uint8Array(data.buffer);
}

/** Below this a norm is taken for zero and nothing is rescaled, as in mergekit. */
const TINY = 1e-7;

/** Factors that give each sparsified task vector the norm it had before. One pass. */
async function rescaleFactors(job: MergeJob<Values>, sparsified: Sparsified): Promise<number[]> {
  const ones = sparsified.models.map(() => 1);
  if (!job.values.rescale || !sparsified.flag) return ones;
  const kind = job.values.rescale_norm ?? "l1";
  if (kind === "inverse-density") return job.values.density!.map((density) => (density > 0 ? 1 / density : 1));
  const models = job.constants(packSparsity(sparsified, ones, ones), "sparsity");
  const kernel = await job.gpu.kernel("merge/survivor-norms", {
    flags: job.flags(sparsified.flag, kind),
    constants: { K: job.count },
  });
  const reads: Promise<Float32Array>[] = [];
  await job.each((chunk) => {
    const count = Math.ceil(chunk.n4 / REDUCE_SPAN) * job.count * LANES;
    const partials = job.gpu.buffer(8 * count, `${job.name} norms`);
    job.gpu.run(kernel, {
      bind: { ...bindings(chunk, models, sparsified), partials: partials.buffer },
      params: sizes(chunk, sparsified),
      groups: spanGroups(chunk.n4, REDUCE_SPAN),
    });
    reads.push(job.gpu.readFloats(partials.buffer, 2 * count).finally(() => partials.free()));
  });
  const sums = ones.map(() => [0, 0]);
  for (const partials of await Promise.all(reads)) {
    for (let i = 0; i < partials.length; i++) {
      const sum = sums[Math.floor(i / 2 / LANES) % job.count]!;
      sum[i % 2] = kind === "linf" ? Math.max(sum[i % 2]!, partials[i]!) : sum[i % 2]! + partials[i]!;
    }
  }
  return sums.map(([before = 0, after = 0]) => {
    if (before < TINY || after < TINY) return 1;
    return kind === "l2" ? Math.sqrt(before / after) : before / after;
  });
}

const bindings = (chunk: Chunk, models: GPUBuffer, { masks }: Sparsified) => ({
  stack: chunk.stack,
  models,
  ...(masks ? { masks: masks.buffer } : {}),
});

const sizes = (chunk: Chunk, { masks }: Sparsified) => ({
  n4: chunk.n4,
  pitch: chunk.pitch,
  start: chunk.start,
  mask_pitch: masks?.pitch ?? 0,
});

/**
 * Cuts as plain thresholds for a chunk in which no cut's run of equal magnitudes ends: all of them are kept there or none. Spares
 * the kernel the comparison of indices, a fifth of its time on software drivers. Undefined for other chunks and sparsifiers.
 */
function withoutTies({ flag, models }: Sparsified, { start, length }: Chunk): Sparsified | undefined {
  if (flag !== "by_top") return undefined;
  const thresholds: Sparsity[] = [];
  for (const { low = ALL } of models) {
    const all = start + length - 1 <= low.index;
    if (!all && start <= low.index) return undefined;
    thresholds.push({ low: { bits: all ? low.bits - 1 : low.bits, index: 0 } });
  }
  return { flag: "above", models: thresholds };
}

/**
 * Makes the function of a method: base + lambda * combination of the sparsified task vectors. `elect` elects one sign per
 * coordinate by the weighted sum. Passes: those of the sparsifier, one if rescaling, one for the output.
 */
export function mergeTaskVectors<S>(sparsify: Sparsifier<S>, elect: boolean) {
  return async (job: MergeJob<Values & S>): Promise<void> => {
    if (job.count === 0) return job.combine([], { base: 1 });
    const sparsified = await sparsify(job);
    const scales = await rescaleFactors(job, sparsified);
    const { weight, lambda, normalize } = job.values;
    const weights = weight.map((w) => job.roundedToWork(w));
    const total = weights.reduce((a, b) => a + b, 0);
    const models = job.constants(packSparsity(sparsified, weights, scales), "models");
    const always = [...(elect ? ["elect"] : []), ...(normalize ? ["normalized"] : [])];
    await job.emit(async (chunk, result, out) => {
      const here = withoutTies(sparsified, chunk);
      using own = here && job.gpu.upload(packSparsity(here, weights, scales), `${job.name} models`);
      const flag = (here ?? sparsified).flag;
      const flags = job.flags(...(flag ? [flag] : []), ...always, ...out);
      await job.run("merge/task-vectors", { flags, constants: { K: job.count } }, chunk, {
        bind: { ...bindings(chunk, own?.buffer ?? models, sparsified), result },
        params: {
          ...sizes(chunk, sparsified),
          lambda,
          divisor: Math.abs(total) < 1e-8 ? 1 : total,
        },
      });
    });
  };
}
