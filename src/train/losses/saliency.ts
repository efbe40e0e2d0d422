/**
 * How the tasks of a regressor, its outputs, use the features that they share: two regularisers of the saliency of each
 * task, the gradient of its loss by the features Z (B, C) that the head reads. For squared errors e and rows W_t of the
 * head it is S_t = 2 e_t W_t, so that it is recorded as ops, and gradients go through it to the head and to Z.
 *
 *   entropy    mean over rows and features of H(P),  P(t) = |S_t| / sum over tasks
 *   alignment  mean over rows b and tasks of -log softmax_{b'}(<v_tb, w_b'> / tau)[b],
 *              v_tb = S_tb / |S_tb|, w_b the mean of v_tb over the tasks
 *
 * A feature that one task needs has entropy 0; a row whose tasks pull its features the same way, and unlike other
 * rows', has alignment near 0. Rep-MTL, ICCV 2025, https://arxiv.org/abs/2507.21049. A feature takes the place of the
 * paper's positions, whose mean over channels has no counterpart in a vector.
 */

import { unitRows } from "../../run/training/contrastive.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { abs, add, addScalar, div, log, mul, neg, scale } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { mean } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Added to sums of saliencies, where all tasks are right, and to shares before their logarithm. */
const [FLOOR, LEAST] = [1e-6, 1e-12];

/** S_t / 2 (B, C) of every task, from errors (B, K) and the head's weight (K, C). */
function saliencies(rec: Recorder, errors: Tensor, weight: Tensor): Tensor[] {
  const tasks = errors.shape[1]!;
  return Array.from({ length: tasks }, (_, t) => {
    const own = Float32Array.from({ length: tasks }, (_, k) => (k === t ? 1 : 0));
    const masked = mul(rec, errors, rec.constant(own, [1, tasks], `task ${t}`));
    return linear(rec, masked, weight, { transposed: true });
  });
}

/** Mean entropy over the tasks of their shares of the saliency, (1). */
export function saliencyEntropy(rec: Recorder, errors: Tensor, weight: Tensor): Tensor {
  const sizes = saliencies(rec, errors, weight).map((own) => abs(rec, own));
  const whole = addScalar(
    rec,
    sizes.reduce((a, b) => add(rec, a, b)),
    FLOOR,
  );
  const terms = sizes.map((own) => {
    const share = div(rec, own, whole);
    return mul(rec, share, log(rec, addScalar(rec, share, LEAST)));
  });
  return neg(
    rec,
    mean(
      rec,
      terms.reduce((a, b) => add(rec, a, b)),
    ),
  );
}

/** Mean contrastive loss of each task's saliency with that of all tasks of its row, against other rows', (1). */
export function saliencyAlignment(rec: Recorder, errors: Tensor, weight: Tensor, tau: number): Tensor {
  const views = saliencies(rec, errors, weight).map((own) => unitRows(rec, own));
  const rows = errors.shape[0]!;
  const centre = scale(
    rec,
    views.reduce((a, b) => add(rec, a, b)),
    1 / views.length,
  );
  const places = rec.constant(
    Int32Array.from({ length: rows }, (_, i) => i),
    [rows],
    "a row itself",
  );
  const losses = views.map((view) =>
    mean(rec, crossEntropy(rec, linear(rec, view, centre, { scale: 1 / tau }), places)),
  );
  return scale(
    rec,
    losses.reduce((a, b) => add(rec, a, b)),
    1 / views.length,
  );
}
