/**
 * MoRA: every rank of a LoRA is an expert of its own, which says by its activation how much it counts for an input; no
 * router. Lu et al., 2025, https://arxiv.org/abs/2506.21035
 *
 *   a = A x     s = a / |a|     w = softmax(s / tau)     y = W x + (alpha / R) sum of R w_i a_i B_i
 *
 * over the k ranks of the largest s, and of those the ones with s >= delta; the weights of the others do not grow for
 * it. The factor R makes it LoRA with the same alpha where all ranks count and tau is large. The choice takes no
 * gradient. A tag for each rank says of which task it is, from 1 on; ranks of tag 0 are not there: they wait for a task
 * of `adapt --tasks --method mora`, or were dropped after one.
 *
 * Not the MoRA of square matrices (https://arxiv.org/abs/2405.12130).
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { adapterType } from "../declared.ts";
import { rankWeights } from "../rank-weights.ts";
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
  parts: ["mora_A", "mora_B", "mora_tag"],
  keys: RANK_KEYS,
  tensors({ into, out }, { values, where }) {
    activeOf(values, where);
    const { adapter_rank: rank } = values;
    return {
      mora_A: { shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } },
      mora_B: { shape: [out, rank], begins: "zeros" },
      mora_tag: { shape: [rank], begins: "ones", fixed: true, optional: true },
    };
  },
  linear(layer, x) {
    const { rec, values, module } = layer;
    const activations = linear(rec, x, layer.tensor("mora_A")); // (N, R)
    const weights = rankWeights(rec, activations, {
      active: activeOf(values, module),
      temperature: values.mora_temperature,
      threshold: values.mora_threshold,
      tag: layer.tensor("mora_tag"),
    });
    // The ranks' number cancels: R w of LoRA's alpha / R.
    const options = { scale: values.adapter_alpha, add: layer.whole(x) };
    return linear(rec, mul(rec, weights, activations), layer.tensor("mora_B"), options);
  },
  flat(tensor, { adapter_rank: rank, adapter_alpha }) {
    const [a, b] = [tensor("mora_A")!, tensor("mora_B")!];
    const tags = tensor("mora_tag")?.values;
    const kept = Array.from({ length: rank }, (_, i) => i).filter((i) => !tags || tags[i]! > 0);
    if (kept.length === 0) kept.push(0); // its B is zero
    const [into, out] = [a.shape[1]!, b.shape[0]!];
    const rows = kept.flatMap((i) => [...a.values.subarray(i * into, (i + 1) * into)]);
    const columns = Array.from({ length: out }, (_, o) => kept.map((i) => b.values[o * rank + i]!)).flat();
    return {
      a: { shape: [kept.length, into], values: Float32Array.from(rows) },
      b: { shape: [out, kept.length], values: Float32Array.from(columns) },
      scale: adapter_alpha / rank,
    };
  },
});
