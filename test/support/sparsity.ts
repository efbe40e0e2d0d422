/** What the sparsifying kernels are told about each model, and an f64 account of which entries survive. */
import { type Cut, NONE } from "../../src/merge/selection/ranked.ts";
import { survivesByChance } from "./counter-random.ts";
import { randomWords } from "./random.ts";

export type SparsityFlag = "by_rank" | "by_chance" | "by_mask" | undefined;

export const SPARSITY_FLAGS: readonly SparsityFlag[] = [undefined, "by_rank", "by_chance", "by_mask"];

export interface ModelSparsity {
  readonly weight: number;
  readonly scale: number;
  /** Survivors by rank lie in the top that ends at `low` but not in the one that ends at `high`. */
  readonly low: Cut;
  readonly high: Cut;
  readonly key: readonly [number, number];
  readonly threshold: number;
}

/** Words of the struct in wgsl/lib/sparsify.wgsl. */
export function packModels(models: readonly ModelSparsity[]): Uint8Array {
  const data = new DataView(new ArrayBuffer(36 * models.length));
  for (const [k, { weight, scale, low, high, key, threshold }] of models.entries()) {
    data.setFloat32(36 * k, weight, true);
    data.setFloat32(36 * k + 4, scale, true);
    const words = [low.bits, low.index, high.bits, high.index, ...key, threshold];
    for (const [w, word] of words.entries()) data.setUint32(36 * k + 8 + 4 * w, word, true);
  }
  return new Uint8Array(data.buffer);
}

/** One bit per value of the whole tensor and model, rows of `pitch` words. */
export function randomMasks(seed: number, models: number, size: number): { words: Uint32Array; pitch: number } {
  const pitch = Math.ceil(size / 32);
  return { words: Uint32Array.from({ length: models * pitch }, randomWords(seed)), pitch };
}

/** A model with about half of its values in the top and a twentieth above that, for task vectors of this deviation. */
export const someModel = (k: number, weight: number, scale: number, deviation: number): ModelSparsity => {
  const bits = (x: number) => new Uint32Array(new Float32Array([x]).buffer)[0]!;
  return {
    weight,
    scale,
    low: { bits: bits(0.67 * deviation), index: 10 + k },
    high: k === 0 ? NONE : { bits: bits(1.96 * deviation), index: 7 * k },
    key: [0x9e3779b9 ^ k, 0x85ebca6b + k],
    threshold: Math.round((0.3 + 0.2 * k) * 2 ** 24),
  };
};

const inTop = (bits: number, index: number, cut: Cut): boolean =>
  bits > cut.bits || (bits === cut.bits && index <= cut.index);

/** Whether value `index` of the tensor, whose task vector is `d` there, survives in model `k`. */
export function survives(
  flag: SparsityFlag,
  model: ModelSparsity,
  k: number,
  index: number,
  d: number,
  masks: { words: Uint32Array; pitch: number },
): boolean {
  if (flag === "by_rank") {
    const bits = new Uint32Array(new Float32Array([Math.abs(d)]).buffer)[0]!;
    return inTop(bits, index, model.low) && !inTop(bits, index, model.high);
  }
  if (flag === "by_chance") return survivesByChance(index, model.key, model.threshold);
  if (flag === "by_mask") return ((masks.words[k * masks.pitch + (index >>> 5)]! >>> (index & 31)) & 1) === 1;
  return true;
}
