/**
 * LoHa: the change is an entry-wise product of two low-rank matrices, W + s (A1 B1) * (A2 B2), of rank up to r^2.
 *
 * Hyeon-Woo et al. (FedPara), ICLR 2022, https://arxiv.org/abs/2108.06098; LyCORIS, https://arxiv.org/abs/2309.14859;
 * in PEFT's form (peft/tuners/loha). The product is computed as one of rank r^2: row (i, j) of the inner side is row i
 * of B1 times row j of B2, column (i, j) of the outer one column i of A1 times column j of A2. So no matrix of the
 * weight's size is made.
 */
import { mul } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { adapterType } from "../declared.ts";
import { RANK_KEYS, rankAndAlpha, refuseSet } from "../settings.ts";

export const method = adapterType({
  name: "loha",
  title: "LoHa",
  about: "adds the entry-wise product of two low-rank matrices",
  cite: "arXiv:2108.06098",
  options: rankAndAlpha(8),
  peftType: "LOHA",
  takes: ["linear"],
  parts: ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"],
  keys: RANK_KEYS,
  patterned: { rank: "adapter_rank", alpha: "adapter_alpha" },
  config: () => ({ init_weights: true, module_dropout: 0, rank_dropout: 0, use_effective_conv2d: false }),
  check(json, where) {
    if (json.use_khatri_rao === "auto" && json.init_weights !== "abba") refuseSet(json, where, ["r2"]);
    else refuseSet(json, where, ["use_khatri_rao", "r2"]);
  },
  tensors({ into, out }, { values: { adapter_rank: rank } }) {
    const outer = { shape: [out, rank], begins: { uniform: 1 / Math.sqrt(rank) } };
    const inner = { shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } };
    return { hada_w1_a: outer, hada_w1_b: inner, hada_w2_a: outer, hada_w2_b: { ...inner, begins: "zeros" } };
  },
  linear(layer, x) {
    const { rec, target, tensor, values } = layer;
    const { adapter_rank: r, adapter_alpha: alpha } = values;
    const { into, out } = target;
    const inner = mul(
      rec,
      rec.reshape(tensor("hada_w1_b"), [r, 1, into]),
      rec.reshape(tensor("hada_w2_b"), [1, r, into]),
    ); // (r, r, in)
    const outer = mul(
      rec,
      rec.reshape(tensor("hada_w1_a"), [out, r, 1]),
      rec.reshape(tensor("hada_w2_a"), [out, 1, r]),
    ); // (out, r, r)
    const low = linear(rec, x, rec.reshape(inner, [r * r, into])); // (N, r^2)
    return linear(rec, low, rec.reshape(outer, [out, r * r]), { scale: alpha / r, add: layer.whole(x) });
  },
  fold({ into, out, transposed, tensor }, { values: { adapter_rank: r, adapter_alpha: alpha } }) {
    const [a1, b1, a2, b2] = (["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"] as const).map(
      (part) => tensor(part).values,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const rank = r * r;
    const a = new Float32Array(rank * into);
    const b = new Float32Array(out * rank);
    for (let i = 0; i < r; i++)
      for (let j = 0; j < r; j++) {
        const place = i * r + j;
        for (let c = 0; c < into; c++) a[place * into + c] = b1[i * into + c]! * b2[j * into + c]!;
        for (let o = 0; o < out; o++) b[o * rank + place] = a1[o * r + i]! * a2[o * r + j]!;
      }
    return { weight: { a, b, rank, scale: alpha / r, transposed } };
  },
});
