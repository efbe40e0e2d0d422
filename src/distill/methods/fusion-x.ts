/**
 * Fusion-X: several sources, of which a learned gate chooses for every sequence those that help, and how much each.
 * Kong et al., "Enabling Flexible Multi-LLM Integration for Scalable Knowledge Aggregation", 2025,
 * https://arxiv.org/abs/2505.23844
 *
 *   reward    r_j = exp(-mean cross-entropy of source j on the sequence's labels)
 *   gate      a = softmax(GELU(W3 GELU(W2 GELU(W1 r)))), K -> 2K -> K -> K;  w_j = a_j / sum over a > theta,
 *             the largest alone where none is; 0 elsewhere
 *   loss      (1 - lambda) CE(sum_j w_j P_j, q) + lambda CE(labels, q) + 0.5 CV^2(sum over the batch of w_j)
 *
 * lambda is --label-weight 0.9 beside --distill-weight 0.1. CV^2, the variance over the squared mean, keeps the gate
 * from choosing the same source for ever; it is of a micro-batch. --fuse best takes the source with the largest reward,
 * softmax weighs by softmax(r): both learn nothing. The base model is a source too where it is named: --teacher self.
 */
import { gelu } from "../../tensor/ops/activation.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, addScalar, div, isPositive, mul, neg, scale, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { sources } from "../sources.ts";

const column = (rec: Recorder, x: Tensor): Tensor => rec.reshape(x, [rowsOf(x).width, 1]);

/** 1 for the largest of every row: (B, K) -> (B, K). Of equal largest all. */
const largest = (rec: Recorder, x: Tensor): Tensor =>
  isPositive(rec, addScalar(rec, sub(rec, x, rec.reshape(rowMax(rec, x), [x.shape[0]!, 1])), 1e-7));

/** Every row over its sum: (B, K) -> (B, K). */
const normalised = (rec: Recorder, x: Tensor): Tensor => div(rec, x, rec.reshape(rowSum(rec, x), [x.shape[0]!, 1]));

/** The shares of what the gate gives more than theta, (B, K) -> (B, K). */
export function chosenShares(rec: Recorder, given: Tensor, theta: number): Tensor {
  const above = isPositive(rec, addScalar(rec, given, -theta));
  const none = addScalar(rec, neg(rec, isPositive(rec, rowSum(rec, above))), 1);
  const alone = mul(rec, rec.reshape(none, [given.shape[0]!, 1]), largest(rec, given));
  return normalised(rec, mul(rec, given, add(rec, above, alone)));
}

/** Variance over the squared mean of what each source gets of all rows: (B, K) -> (1). */
export function unevenness(rec: Recorder, shares: Tensor): Tensor {
  const { width } = rowsOf(shares);
  const sums = sumTo(rec, shares, [1, width]);
  const mean = rowSum(rec, sums, 1 / width); // (1)
  const apart = sub(rec, sums, rec.reshape(mean, [1, 1]));
  const variance = rowSum(rec, square(rec, apart), 1 / width);
  return div(rec, variance, addScalar(rec, square(rec, mean), 1e-10));
}

export const method = defineDistillation({
  name: "fusion-x",
  title: "Fusion-X",
  about: "several sources, weighed for every sequence by a gate that is learned: models, or caches of any tokenizer",
  cite: "arXiv:2505.23844",
  laws: { ...EVERY_LAW, zeroAtTeacher: "it is a cross-entropy, whose least value is the target's entropy" },
  teachers: [1, 8],
  needs: [sources],
  weights: { distill: 0.1, labels: 0.9 },
  options: {
    fuse: {
      type: "'gated' | 'softmax' | 'best'",
      default: "gated",
      help: "the gate, the softmax of the rewards, or the largest reward alone",
    },
    theta: { type: "0 <= number < 1", default: 0.15, help: "share of the gate below which a source is left out" },
    feedback: { type: "number >= 0", default: 0.5, help: "weight of how unevenly sources are used", value: "W" },
  },
  extra: ({ teachers: k = 1, values: { fuse } }) =>
    fuse === "gated"
      ? [
          [2 * k, k],
          [k, 2 * k],
          [k, k],
        ].flatMap(([out = 1, into = 1], layer) => {
          const std = 1 / Math.sqrt(3 * into);
          return [
            { name: `gate.${layer}.weight`, shape: [out, into], std },
            { name: `gate.${layer}.bias`, shape: [out], std },
          ];
        })
      : [],
  whole(rec, { rewards, values: { fuse, theta, feedback }, extra }) {
    const r = joinColumns(
      rec,
      rewards.map((reward) => column(rec, reward)),
    ); // (B, K)
    const nothing = rec.constant(new Float32Array(1), [1], "no loss");
    if (fuse === "softmax") return { shares: softmax(rec, r), loss: nothing };
    if (fuse === "best") return { shares: normalised(rec, largest(rec, r)), loss: nothing };
    const given = [0, 1, 2].reduce(
      (x, layer) => gelu(rec, add(rec, linear(rec, x, extra(`gate.${layer}.weight`)), extra(`gate.${layer}.bias`))),
      r,
    );
    const shares = chosenShares(rec, softmax(rec, given), theta);
    return { shares, loss: scale(rec, unevenness(rec, shares), feedback) };
  },
  rows(rec, { student, own, teachers, targets, shares, note }) {
    const { rows } = rowsOf(student);
    const kind = { kind: "interpolated-target", a: 1, crossEntropy: true } as const;
    const losses = teachers.map((teacher, k) => divergence(rec, own?.(k) ?? student, teacher, targets, kind));
    if (!shares || losses.length === 1) return losses.reduce((a, b) => add(rec, a, b));
    const weighed = splitColumns(
      rec,
      shares,
      losses.map(() => 1),
    ).map((share, k) => {
      const flat = rec.reshape(share, [rows]);
      note(`share_${k}`, flat);
      return mul(rec, flat, losses[k]!);
    });
    return weighed.reduce((a, b) => add(rec, a, b));
  },
});
