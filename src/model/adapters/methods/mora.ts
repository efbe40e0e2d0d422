/**
 * MoRA: every rank of a LoRA is an expert of its own, which says by its activation how much it counts for an input; no
 * router. Lu et al., 2025, https://arxiv.org/abs/2506.21035
 *
 *   a = A x     s = a / |a|     w = softmax(s / tau)     y = W x + (alpha / R) sum of R w_i a_i B_i
 *
 * over the k ranks of the largest s, and of those the ones with s >= delta; the weights of the others do not grow for
 * it. The factor R makes it LoRA with the same alpha where all ranks count and tau is large. The choice takes no
 * gradient. Not the MoRA of square matrices (https://arxiv.org/abs/2405.12130).
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { addScalar, clamp, div, mul, scale, sqrt, square, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { chosenExperts } from "../../../tensor/ops/router.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import { adapterType } from "../declared.ts";
import { RANK_KEYS, rankAndAlpha } from "../settings.ts";

const OPTIONS = {
  ...rankAndAlpha(16),
  mora_active: {
    type: "number.integer >= 1",
    help: "most ranks that count for one input, those of the largest activation; half of them when left out",
    value: "K",
  },
  mora_temperature: {
    type: "number > 0",
    default: 0.5,
    help: "temperature of the ranks' weights; the larger, the more alike they are",
    value: "T",
  },
  mora_threshold: {
    type: "-1 <= number <= 1",
    default: 0,
    help: "ranks of a smaller share of the activation do not count; -1: all do",
    value: "D",
  },
} as const;

/** Below this an activation's length is no longer a direction. */
const SHORTEST = 1e-6;

/** Turns any difference of two shares into one beyond 1. */
const STEEP = 1e30;

/** How much every rank counts. Activations (N, R) -> (N, R), each row of a sum of at most 1; `active` is k. */
export function rankWeights(
  rec: Recorder,
  activations: Tensor,
  {
    active,
    temperature,
    threshold,
  }: { readonly active: number; readonly temperature: number; readonly threshold: number },
): Tensor {
  const { rows, width } = rowsOf(activations);
  const squares = addScalar(rec, rowSum(rec, square(rec, activations)), SHORTEST ** 2);
  const shares = div(rec, activations, rec.reshape(sqrt(rec, squares), [rows, 1])); // (N, R)
  let weights = softmax(rec, shares, temperature);
  const fixed = stopGradient(rec, shares);
  if (active < width) {
    const ones = rec.constant(new Float32Array(rows).fill(1), [rows, 1], "ones");
    weights = mul(rec, weights, chosenExperts(rec, fixed, active, ones));
  }
  if (threshold > -1) {
    const above = addScalar(rec, scale(rec, addScalar(rec, fixed, -threshold), STEEP), 1);
    weights = mul(rec, weights, clamp(rec, above, 0, 1)); // 1 from the threshold on, else 0
  }
  return weights;
}

/** k. Throws UserError for more ranks than there are. */
function activeOf({ adapter_rank: rank, mora_active }: Values<typeof OPTIONS>, where: string): number {
  const active = mora_active ?? Math.ceil(rank / 2);
  if (active > rank)
    throw new UserError(
      `${where}: ${active} ranks are to count (mora_active), and there are ${rank}`,
      "take fewer, or more ranks with --adapter-rank",
    );
  return active;
}

export const method = adapterType({
  name: "mora",
  title: "MoRA",
  about: "LoRA of which every rank weighs itself by its activation, and few count for an input",
  cite: "arXiv:2506.21035",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["mora_A", "mora_B"],
  keys: RANK_KEYS,
  tensors({ into, out }, { values, where }) {
    activeOf(values, where);
    const { adapter_rank: rank } = values;
    return {
      mora_A: { shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } },
      mora_B: { shape: [out, rank], begins: "zeros" },
    };
  },
  linear(layer, x) {
    const { rec, values, module } = layer;
    const activations = linear(rec, x, layer.tensor("mora_A")); // (N, R)
    const weights = rankWeights(rec, activations, {
      active: activeOf(values, module),
      temperature: values.mora_temperature,
      threshold: values.mora_threshold,
    });
    // The ranks' number cancels: R w of LoRA's alpha / R.
    const options = { scale: values.adapter_alpha, add: layer.whole(x) };
    return linear(rec, mul(rec, weights, activations), layer.tensor("mora_B"), options);
  },
});
