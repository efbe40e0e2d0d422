/**
 * Dual-head distillation: a loss on the logits themselves, sent through a second head so that it shapes the body
 * without pulling at the main head. Yang et al. 2024, https://arxiv.org/abs/2411.08937
 *
 *   tau^2 sum_v [ log(1/2 / s) / 2 + log(1/2 / (1 - s)) / 2 ],  s = sigmoid((b - teacher) / tau),
 *   b the second head's logits
 *
 * The second head is linear, or with --aux-head mlp a layer of 200 units (dropout of 0.1, batch norm, ReLU) and one
 * to the outputs; it is left out of the result. The batch norm goes by the rows of a batch that count, of long texts
 * by those of a chunk of logits. With --grad-align the part of its gradient that goes against
 * the labels' is taken away: g - min(0, <g, g_labels>) / |g_labels|^2 g_labels over all weights, which costs a second
 * pass.
 */
import { relu } from "../../tensor/ops/activation.ts";
import { normalized, statisticsOf } from "../../tensor/ops/batch-norm.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { dropout } from "../../tensor/ops/dropout.ts";
import { addScalar, div, logSigmoid, neg, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowSum, sum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { alignedGradients } from "../aligned-gradients.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

/** Units of the second head's own layer, and the share of them that is dropped. */
const [UNITS, DROPPED] = [200, 0.1];
const EPS = 1e-5;

/**
 * Weights (n, 1) that are equal over the rows whose target counts and sum to 1; the cross-entropy of equal logits is
 * log V there, and 0 elsewhere.
 */
function countedShares(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
  const counts = crossEntropy(rec, scale(rec, stopGradient(rec, logits), 0), targets);
  const shares = div(rec, counts, addScalar(rec, sum(rec, counts), 1e-12));
  return rec.reshape(shares, [targets.shape[0]!, 1]);
}

/** Logits of a second head with a layer of its own: hidden (n, C) -> (n, V). */
function deepHead(rec: Recorder, hidden: Tensor, shares: Tensor, extra: (name: string) => Tensor): Tensor {
  const units = linear(rec, hidden, extra("aux.layer"), { bias: extra("aux.layer_bias") });
  const kept = dropout(rec, units, { p: DROPPED, key: "second head" });
  const normed = normalized(rec, kept, statisticsOf(rec, kept, shares), {
    gain: addScalar(rec, extra("aux.gain"), 1),
    bias: extra("aux.norm_bias"),
    eps: EPS,
  });
  return linear(rec, relu(rec, normed), extra("aux.head"), { bias: extra("aux.head_bias") });
}

/** Sum over a row of the binary divergences of logits, 0 where they agree: (n, V) each -> (n). */
export function logitLoss(rec: Recorder, logits: Tensor, teacher: Tensor, tau: number): Tensor {
  const apart = scale(rec, sub(rec, logits, teacher), 1 / tau);
  const both = rowSum(rec, logSigmoid(rec, apart));
  const other = rowSum(rec, logSigmoid(rec, neg(rec, apart)));
  const outputs = logits.shape.at(-1)!;
  const half = scale(rec, sub(rec, neg(rec, both), other), 0.5);
  return scale(rec, addScalar(rec, half, -outputs * Math.LN2), tau ** 2);
}

export const method = defineDistillation({
  name: "dual-head",
  title: "Dual head",
  about:
    "a loss on the logits through a second head that is dropped afterwards, beside the labels through the main one",
  cite: "arXiv:2411.08937",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "the second head is compared with the teacher, not the student's own",
    shiftInvariant: "logits are compared themselves",
    rowsIndependent: "a second head of two layers norms its units by the batch",
    zeroWhereUncounted: "it knows no labels",
  },
  weights: { labels: 1 },
  options: {
    aux_head: { type: "'linear' | 'mlp'", default: "linear", help: "what the second head is" },
    tau: { type: "number > 0", default: 2, help: "softens the difference of logits", value: "T" },
  },
  needs: [alignedGradients],
  extra({ student: { width }, teacher, values: { aux_head } }) {
    const { outputs } = teacher!;
    if (aux_head === "linear") return [{ name: "second_head", shape: [outputs, width], std: 0.02 }];
    return [
      { name: "aux.layer", shape: [UNITS, width], std: 1 / Math.sqrt(width) },
      { name: "aux.layer_bias", shape: [UNITS], std: 0 },
      { name: "aux.gain", shape: [UNITS], std: 0 }, // beside 1
      { name: "aux.norm_bias", shape: [UNITS], std: 0 },
      { name: "aux.head", shape: [outputs, UNITS], std: 1 / Math.sqrt(UNITS) },
      { name: "aux.head_bias", shape: [outputs], std: 0 },
    ];
  },
  rows(rec, { student, hidden, teachers, targets, extra, values: { tau, aux_head } }) {
    const logits =
      aux_head === "linear"
        ? linear(rec, hidden, extra("second_head"))
        : deepHead(rec, hidden, countedShares(rec, student, targets), extra);
    return logitLoss(rec, logits, teachers[0]!, tau);
  },
});
