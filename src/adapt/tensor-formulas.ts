/**
 * What combinations do to tensors of equal size, on the host in f64: prune each, weigh each, and add them or elect
 * signs. As PEFT's utils/merge_utils.py defines them; Yadav et al. 2023, https://arxiv.org/abs/2306.01708 (TIES), Yu et
 * al. 2023, https://arxiv.org/abs/2311.03099 (DARE).
 */
import type { OptionSpec } from "../method/options.ts";

/** Several tensors to one. `random` gives numbers in [0, 1) for tensor k. */
export type TensorFormula<V> = (
  tensors: Float64Array[],
  weights: readonly number[],
  with_: FormulaInputs<V>,
) => Float64Array;

export interface FormulaInputs<V> {
  readonly values: V;
  readonly compat: boolean;
  random(k: number): () => number;
}

export const density = {
  density: { type: "0 <= number <= 1", default: 0.5, help: "fraction of each tensor's values that is kept" },
} as const satisfies Record<string, OptionSpec>;

export const majority = {
  majority_sign_method: {
    type: "'total' | 'frequency'",
    default: "total",
    help: "elect signs by the sum of values, or by how many have them",
  },
} as const satisfies Record<string, OptionSpec>;

/** Bits of magnitudes, which are ordered as the magnitudes are. */
function magnitudes(values: Float64Array): Float64Array {
  return values.map(Math.abs);
}

/**
 * The k-th largest magnitude (from 1), and how many values of exactly this magnitude belong to the k largest. k is from
 * 1 to the number of values.
 */
export function cutOf(values: Float64Array, k: number): { readonly at: number; readonly equal: number } {
  const sorted = magnitudes(values).sort();
  const at = sorted[sorted.length - k]!;
  let above = 0;
  for (const value of values) if (Math.abs(value) > at) above++;
  return { at, equal: k - above };
}

/** Keeps the `most` values of largest magnitude; of equal ones the first. */
export function keepLargest(values: Float64Array, most: number): Float64Array {
  if (most >= values.length) return values;
  const kept = new Float64Array(values.length);
  if (most < 1) return kept;
  let { at, equal } = cutOf(values, most);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > at || (magnitude === at && equal-- > 0)) kept[i] = values[i]!;
  }
  return kept;
}

/** Keeps int(share n) values by magnitude. */
export const pruneByMagnitude = (values: Float64Array, share: number): Float64Array =>
  share >= 1 ? values : keepLargest(values, Math.trunc(share * values.length));

/**
 * Keeps each value with probability `share` and divides it by that. PEFT forgets the division, which `compat`
 * reproduces.
 */
export function pruneAtRandom(values: Float64Array, share: number, unit: () => number, compat: boolean): Float64Array {
  if (share >= 1) return values;
  const scale = compat || share === 0 ? 1 : 1 / share;
  return values.map((value) => (unit() < share ? scale * value : 0));
}

/** sum_k w_k x_k */
export function weightedSum(tensors: readonly Float64Array[], weights: readonly number[]): Float64Array {
  const sum = new Float64Array(tensors[0]!.length);
  for (const [k, values] of tensors.entries()) for (let i = 0; i < sum.length; i++) sum[i]! += weights[k]! * values[i]!;
  return sum;
}

/** Elects a sign for every value, before weights, and takes the mean of the weighted values that have it. */
export function electedMean(
  tensors: readonly Float64Array[],
  weights: readonly number[],
  by: "total" | "frequency",
): Float64Array {
  return new Float64Array(tensors[0]!.length).map((_, i) => {
    let mass = 0;
    for (const values of tensors) mass += by === "total" ? values[i]! : Math.sign(values[i]!);
    const sign = mass >= 0 ? 1 : -1;
    let [sum, count] = [0, 0];
    for (const [k, values] of tensors.entries()) {
      if (Math.sign(values[i]!) !== sign) continue;
      sum += weights[k]! * values[i]!;
      count++;
    }
    return count === 0 ? 0 : sum / count;
  });
}

interface Density {
  readonly density: number;
}
interface Elected extends Density {
  readonly majority_sign_method: "total" | "frequency";
}

export const linear: TensorFormula<object> = (tensors, weights) => weightedSum(tensors, weights);

export const magnitudePrune: TensorFormula<Density> = (tensors, weights, { values }) =>
  weightedSum(
    tensors.map((tensor) => pruneByMagnitude(tensor, values.density)),
    weights,
  );

export const ties: TensorFormula<Elected> = (tensors, weights, { values }) =>
  electedMean(
    tensors.map((tensor) => pruneByMagnitude(tensor, values.density)),
    weights,
    values.majority_sign_method,
  );

export const dareLinear: TensorFormula<Density> = (tensors, weights, { values, compat, random }) =>
  weightedSum(
    tensors.map((tensor, k) => pruneAtRandom(tensor, values.density, random(k), compat)),
    weights,
  );

export const dareTies: TensorFormula<Elected> = (tensors, weights, { values, compat, random }) =>
  electedMean(
    tensors.map((tensor, k) => pruneAtRandom(tensor, values.density, random(k), compat)),
    weights,
    values.majority_sign_method,
  );
