/**
 * Losses of rows without labels, (B) each, from logits (B, K). What the teacher says takes no gradient.
 *
 *   H(p)         -sum p log p
 *   CE(q, p)     -sum q log p
 *   SCE(q, p)    half of CE(q, p) and half of CE(p, q): unlike CE alone its gradients are no larger for unsure rows.
 *                Wang et al., ICCV 2019, https://arxiv.org/abs/1908.06112, in equal parts as in Döbler et al., 2023
 */
import { add, mul, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Entropy of every row. */
export const entropyOf = (rec: Recorder, logits: Tensor): Tensor =>
  rowSum(rec, mul(rec, softmax(rec, logits), logSoftmax(rec, logits)), -1);

/** Cross-entropy against the teacher's probabilities. */
export const softCrossEntropy = (rec: Recorder, teacher: Tensor, logits: Tensor): Tensor =>
  rowSum(rec, mul(rec, softmax(rec, stopGradient(rec, teacher)), logSoftmax(rec, logits)), -1);

/** Symmetric cross-entropy of the teacher and the student. */
export function symmetricCrossEntropy(rec: Recorder, teacher: Tensor, logits: Tensor): Tensor {
  const back = mul(rec, softmax(rec, logits), logSoftmax(rec, stopGradient(rec, teacher)));
  return add(rec, scale(rec, softCrossEntropy(rec, teacher, logits), 0.5), scale(rec, rowSum(rec, back, -1), 0.5));
}
