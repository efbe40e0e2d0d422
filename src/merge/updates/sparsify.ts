/**
 * Sparsifiers: which entries of each task vector survive. What is found are cuts, keys or masks that kernels read,
 * never a sparse copy. Longer ones have their own files: sparsify-by-outliers.ts (breadcrumbs) and sparsify-by-rank.ts
 * (DELLA).
 */
import { UserError } from "../../errors.ts";
import type { OptionSpec, Options } from "../../method/options.ts";
import type { MergeMethod, MergeValues } from "../contract.ts";
import { randomKey } from "../job/random-key.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import { ALL, type Cut, NONE, taskVector } from "../selection/ranked.ts";
import { topCuts } from "../selection/top-k-selection.ts";

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

export interface Sparsifier<O extends Options> {
  /** What it reads of `job.values`. */
  readonly options: O;
  /** Settings that tests try; see `MergeMethod`. */
  readonly trials?: MergeMethod["trials"];
  /** "many" when it looks at the whole tensor before the merge does. */
  readonly passes: "one" | "many";
  /** Device memory that it holds until the merge, in bytes per value. */
  readonly scratch?: number;
  find(inputs: TensorInputs<MergeValues<O>>): Promise<Sparsified>;
}

/** Infers the types of a sparsifier's options. */
export const sparsifier = <const O extends Options>(given: Sparsifier<O>): Sparsifier<O> => given;

export const densityOption = {
  density: { type: "0 <= number <= 1", per: "model", default: 1, help: "fraction of each task vector kept" },
} as const satisfies Record<string, OptionSpec>;

export const everything = ({ count }: { readonly count: number }): Sparsified => ({
  models: Array.from({ length: count }, () => ({})),
});

/** Keeps everything. */
export const dense = sparsifier({ options: {}, passes: "one", find: async (inputs) => everything(inputs) });

/**
 * Keeps the floor(density n) largest by magnitude; one, with a remark, where that is none of a small tensor. A density
 * of 0 is refused. Two passes.
 */
export const magnitude = sparsifier({
  options: densityOption,
  trials: [{}, { density: 0.5 }],
  passes: "many",
  async find(inputs) {
    const { density } = inputs.values;
    const bad = density.indexOf(0);
    if (bad >= 0 && inputs.size > 0) {
      throw new UserError(
        `${inputs.name}: density ${density[bad]} keeps none of its ${inputs.size} values`,
        "give a larger density, or filter this tensor out",
      );
    }
    const tops = density.map((share) => Math.max(1, Math.floor(share * inputs.size)));
    if (density.some((share) => share * inputs.size < 1)) {
      inputs.settings.remark?.("one value is kept, since its density keeps less than one", inputs.name);
    }
    if (density.every((share) => share >= 1)) return everything(inputs);
    const cuts = await topCuts(
      inputs,
      tops.map((top, k) => ({ ranked: taskVector(inputs, k), top: density[k]! >= 1 ? inputs.size : top })),
    );
    return { flag: "by_top", models: cuts.map((low) => ({ low })) };
  },
});

/**
 * Keeps each entry with probability density. Masks are functions of (seed, tensor name, model, index) and are never
 * stored, so no pass is needed here; rescaling needs one.
 */
export const bernoulli = sparsifier({
  options: densityOption,
  trials: [{}, { density: 0.5 }],
  passes: "many",
  async find(inputs) {
    const { density } = inputs.values;
    if (density.every((share) => share >= 1)) return everything(inputs);
    const models = density.map((share, k) => ({
      key: randomKey(inputs.settings.seed, inputs.streamName, inputs.task.modelIndex[k]!),
      threshold: share >= 1 ? 1 << 24 : Math.round(share * 2 ** 24),
    }));
    return { flag: "by_chance", models };
  },
});

/** Words of `Sparsity`. */
const WORDS = 9;

/** The sparsities with each model's weight and scale, as wgsl/lib/sparsify.wgsl reads them. */
export function packSparsity(
  { models }: Sparsified,
  weights: readonly number[],
  scales: readonly number[],
): Uint8Array {
  const data = new DataView(new ArrayBuffer(4 * WORDS * models.length));
  for (const [k, model] of models.entries()) {
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
