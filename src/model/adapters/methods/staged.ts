/**
 * Staged LoRA: several LoRA parts that are trained one after the other, with learnt scales for what came before each.
 *
 *   y = alpha_0 W x + b + s sum_j alpha_j B_j A_j x,  alpha = 1 + 0.2 tanh(logit),  s = adapter_alpha / rank
 *   stage j: A_j, B_j and the logits of all parts before j (of W, too) are trained; all else stays
 *
 * Dynamic parameter scaling of ScaleZero, 2025, https://arxiv.org/abs/2509.07945. Logits begin at 0 and every B_j at 0,
 * so a new stage begins as the model that was. Its stage 0, the training of W itself, is one without an adapter. What
 * says when a stage is over is `curriculum --method dps`; in a stream of tasks each task is a stage; else stages share
 * the steps.
 */
import { splitColumns } from "../../../tensor/ops/columns.ts";
import { add, addScalar, mul, neg, scale, tanh } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { adapterType } from "../declared.ts";
import { RANK_KEYS, rankAndAlpha } from "../settings.ts";

/** How far a scale goes from 1. */
const REACH = 0.2;

/** 1 from place `first` to `end`, else 0. */
const between = (count: number, first: number, end: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => (first <= i && i < end ? 1 : 0));

export const method = adapterType({
  name: "staged",
  title: "Staged LoRA",
  about: "LoRA parts that are trained one after the other, with learnt scales for what came before",
  cite: "arXiv:2509.07945",
  options: {
    ...rankAndAlpha(8),
    staged_stages: { type: "number.integer >= 1", default: 2, value: "S", help: "parts, each of the rank" },
  },
  takes: ["linear"],
  keys: RANK_KEYS,
  parts: ["staged_A", "staged_B", "staged_logits"],
  tensors: ({ into, out }, { values: { adapter_rank: r, staged_stages: stages } }) => ({
    staged_A: { shape: [stages * r, into], begins: { normal: 0.01 } },
    staged_B: { shape: [out, stages * r], begins: "zeros" },
    staged_logits: { shape: [stages + 1], begins: "zeros" }, // of W, then of each part; the last stays 0
  }),
  stages: {
    count: ({ staged_stages }) => staged_stages,
    trained(part, stage, { adapter_rank: r, staged_stages: stages }) {
      if (part === "staged_logits") return { along: "value", factors: between(stages + 1, 0, stage) };
      return {
        along: part === "staged_A" ? "row" : "column",
        factors: between(stages * r, (stage - 1) * r, stage * r),
      };
    },
  },
  linear(layer, x) {
    const { rec, tensor, values, bias } = layer;
    const { adapter_rank: r, adapter_alpha: alpha, staged_stages: stages } = values;
    const scales = addScalar(rec, scale(rec, tanh(rec, tensor("staged_logits")), REACH), 1);
    const [first, rest] = splitColumns(rec, rec.reshape(scales, [1, stages + 1]), [1, stages]);
    const product = mul(rec, layer.product(x), first!); // the bias times alpha_0, too
    const base = bias
      ? add(rec, product, mul(rec, rec.reshape(bias, [1, bias.shape[0]!]), addScalar(rec, neg(rec, first!), 1)))
      : product;
    const low = linear(rec, x, tensor("staged_A")); // (N, stages r)
    const rows = low.shape[0]!;
    const scaled = mul(rec, rec.reshape(low, [rows, stages, r]), rec.reshape(rest!, [1, stages, 1]));
    const made = linear(rec, rec.reshape(scaled, [rows, stages * r]), tensor("staged_B"), {
      ...{ scale: alpha / r, add: base },
    });
    return layer.finish(made);
  },
  fold({ into, transposed, tensor }, { values: { adapter_rank: r, adapter_alpha: alpha, staged_stages: stages } }) {
    const [a, b, logits] = ["staged_A", "staged_B", "staged_logits"].map((part) => tensor(part).values);
    const scales = Float64Array.from(logits!, (logit) => 1 + REACH * Math.tanh(logit));
    const rank = stages * r;
    const change = (rows: Float32Array, first: number) => {
      for (let i = 0; i < rows.length / into; i++) {
        const row = Float64Array.from(rows.subarray(i * into, (i + 1) * into), (w) => scales[0]! * w);
        for (let k = 0; k < rank; k++) {
          const factor = (alpha / r) * scales[1 + Math.floor(k / r)]! * b![(first + i) * rank + k]!;
          for (let c = 0; c < into; c++) row[c]! += factor * a![k * into + c]!;
        }
        rows.set(row, i * into);
      }
    };
    return { weight: { change, transposed } };
  },
});
