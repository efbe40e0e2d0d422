/**
 * Task-vector merging in general: sparsify each task vector, weigh, elect signs or not, scale, add to the base.
 *
 * The methods task_arithmetic, ties, dare, breadcrumbs and della are choices of a sparsifier, of the election and of
 * defaults. The order of the steps, the defaults and the special cases are mergekit's.
 */
import { LANES, REDUCE_SPAN, spanGroups } from "../../gpu/grid.ts";
import type { OptionSpec, Options } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { MergeMethod, MergeValues } from "../contract.ts";
import type { Chunk } from "../job/chunks.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import type { MergeJob } from "../job/tensor-job.ts";
import { ALL } from "../selection/ranked.ts";
import { everything, packSparsity, type Sparsified, type Sparsifier, type Sparsity } from "./sparsify.ts";

/** Options of a weighted sum of task vectors. */
export const WEIGHTED = {
  weight: {
    type: "number",
    per: "model",
    required: true,
    help: "of each task vector; may be negative; on the command line 1 if left out",
  },
  lambda: { type: "number", default: 1, help: "scale of the combined task vector" },
} as const satisfies Record<string, OptionSpec>;

/** Options that all of these methods share. */
const sharedOptions = {
  ...WEIGHTED,
  int8_mask: { type: "boolean", default: false, help: "accepted for mergekit's sake; masks take one bit here" },
} as const satisfies Record<string, OptionSpec>;

const normalizeOption = (value: boolean) =>
  ({ type: "boolean", default: value, help: "divide by the sum of the weights" }) as const;

const rescaleOptions = (value: boolean) =>
  ({
    rescale: { type: "boolean", default: value, help: "give what is left of a task vector its norm back" },
    rescale_norm: {
      type: "'l1' | 'l2' | 'linf' | 'inverse-density'",
      default: "l1",
      help: "which norm; inverse-density is the DARE paper's 1/density",
    },
  }) as const satisfies Record<string, OptionSpec>;

/** Values of the options; those that depend on the sparsifier may be absent. */
type TaskVectorValues = MergeValues<typeof sharedOptions & { normalize: ReturnType<typeof normalizeOption> }> &
  Partial<MergeValues<ReturnType<typeof rescaleOptions>>> & { readonly density?: readonly number[] };

/**
 * Laws of methods that add whole task vectors of equal models whatever they drop: with the default density nothing is.
 */
export const taskVectorLaws = {
  equalInputs: true,
  equalModels: true,
  order: true,
  baseAtZero: true,
  homogeneous: true,
} as const;

/** What is special to one method. */
export interface TaskVectorMethod<O extends Options> extends Omit<MethodInfo, "options">, Pick<MergeMethod, "laws"> {
  readonly sparsify: Sparsifier<O>;
  /** Elects one sign per coordinate by the weighted sum; only values of that sign count. */
  readonly elect: boolean;
  /** Whether weights are divided by their sum, unless the user says otherwise. */
  readonly normalize: boolean;
  /**
   * Whether what is left of a task vector gets its norm back, unless the user says otherwise. Left out: the method has
   * no such option.
   */
  readonly rescale?: boolean;
}

/**
 * Makes a method: base + lambda * combination of the sparsified task vectors. Passes: those of the sparsifier, one if
 * it rescales, one for the output.
 *
 *   export const method = taskVectorMethod({
 *     name: "ties", title: ..., about: ..., cite: ..., laws: taskVectorLaws,
 *     sparsify: magnitude, elect: true, normalize: true, rescale: false,
 *   });
 */
export function taskVectorMethod<const O extends Options>(given: TaskVectorMethod<O>): MergeMethod {
  const { sparsify, elect, normalize, rescale, ...info } = given;
  return {
    ...info,
    models: [1, Number.POSITIVE_INFINITY],
    base: "required",
    heights: "base",
    passes: sparsify.passes,
    ...(sparsify.trials && { trials: sparsify.trials }),
    ...(sparsify.scratch !== undefined && { scratch: sparsify.scratch }),
    options: {
      ...sharedOptions,
      ...sparsify.options,
      normalize: normalizeOption(normalize),
      ...(rescale !== undefined && rescaleOptions(rescale)),
    },
    async merge(job: MergeJob<TaskVectorValues & MergeValues<O>>) {
      if (job.count === 0) return job.combine([], { base: 1 });
      await combine(job, await sparsify.find(job), elect);
    },
  };
}

/** A norm below this counts as zero, and nothing is rescaled, as in mergekit. */
const TINY = 1e-7;

/** Factors that give each sparsified task vector the norm it had before. One pass. */
async function rescaleFactors(inputs: TensorInputs<TaskVectorValues>, sparsified: Sparsified): Promise<number[]> {
  const ones = sparsified.models.map(() => 1);
  const { rescale, rescale_norm: kind = "l1", density } = inputs.values;
  if (!rescale || !sparsified.flag) return ones;
  if (kind === "inverse-density") return density!.map((share) => (share > 0 ? 1 / share : 1));
  const models = inputs.constants(packSparsity(sparsified, ones, ones), "sparsity");
  const kernel = await inputs.gpu.kernel("merge/survivor-norms", {
    flags: inputs.flags(sparsified.flag, kind),
    constants: { K: inputs.count },
  });
  const sums = ones.map(() => [0, 0]);
  await inputs.reduce(kernel, {
    count: ({ n4 }) => 2 * LANES * inputs.count * Math.ceil(n4 / REDUCE_SPAN),
    dispatch: (chunk, partials) => ({
      bind: { ...bindings(chunk, models, sparsified), partials },
      params: sizes(chunk, sparsified),
      groups: spanGroups(chunk.n4, REDUCE_SPAN),
    }),
    fold: (partials) => {
      for (let i = 0; i < partials.length; i++) {
        const sum = sums[Math.floor(i / 2 / LANES) % inputs.count]!;
        sum[i % 2] = kind === "linf" ? Math.max(sum[i % 2]!, partials[i]!) : sum[i % 2]! + partials[i]!;
      }
    },
  });
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
 * Cuts as plain thresholds for a chunk in which no cut's run of equal magnitudes ends: all of them are kept there or
 * none. Spares the kernel the comparison of indices, a fifth of its time on software drivers. Undefined for other
 * chunks and sparsifiers.
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

/** A chunk's inputs, or what takes their place. */
export interface Stacked {
  readonly stack: GPUBuffer;
  readonly pitch: number;
  free(): void;
}

/**
 * Writes base + sum_k weight_k (x_k - base), to the bit what task_arithmetic writes. `replace` gives what takes the
 * place of a chunk's inputs, in their type. One pass.
 */
export async function addWeighted(
  job: MergeJob,
  weight: readonly number[],
  replace?: (chunk: Chunk) => Promise<Stacked>,
): Promise<void> {
  if (job.count === 0) return job.combine([], { base: 1 });
  const sparsified = everything(job);
  const models = job.constants(
    packSparsity(
      sparsified,
      rounded(job, weight),
      weight.map(() => 1),
    ),
    "models",
  );
  await job.emit(async (chunk, result, out) => {
    const other = await replace?.(chunk);
    const inputs = other ? { ...chunk, stack: other.stack, pitch: other.pitch } : chunk;
    await job.run("merge/task-vectors", { flags: job.flags(...out), constants: { K: job.count } }, inputs, {
      bind: { stack: inputs.stack, models, result },
      params: { ...sizes(inputs, sparsified), lambda: 1, divisor: 1 },
    });
    other?.free();
  });
}

const rounded = (job: MergeJob, weight: readonly number[]): number[] => weight.map((w) => job.roundedToWork(w));

/** Writes base + lambda * combination of the task vectors. Two passes if they are rescaled, else one. */
async function combine(job: MergeJob<TaskVectorValues>, sparsified: Sparsified, elect: boolean): Promise<void> {
  const scales = await rescaleFactors(job, sparsified);
  const { weight, lambda, normalize } = job.values;
  const weights = rounded(job, weight);
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
}
