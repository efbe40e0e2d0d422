/**
 * Mixup's cross-entropy, and a term that asks a mixed row for each of its two classes as if the other were not there:
 *
 *   lambda (ce_a + eta d_a\b) + (1 - lambda) (ce_b + eta d_b\a),  d_a\b = log(sum over c != b of e^z_c) - z_a
 *
 * Liu et al., NeurIPS 2023, https://arxiv.org/abs/2203.10761. The term says nothing of b in d_a\b, and nothing at all
 * of rows that are mixed with one of their class. Rows that are not mixed have cross-entropy.
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, mul, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { gather } from "../../../tensor/ops/gather.ts";
import { labelGap } from "../../../tensor/ops/label-gap.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";

/** -log of the probability of a among all classes but b, (N). */
function without(rec: Recorder, logits: Tensor, a: Tensor, b: Tensor): Tensor {
  const n = sizeOf(a.shape);
  const at = (place: Tensor) => rec.reshape(gather(rec, logits, rec.reshape(place, [n, 1])), [n]);
  return add(rec, labelGap(rec, logits, b), sub(rec, at(b), at(a)));
}

export const method = defineLabelLoss({
  name: "decoupled-mixup",
  title: "Decoupled mixup",
  about: "with --mixup: both classes of a mixed row, each as if the other were not there",
  cite: "arXiv:2203.10761",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  softens: true,
  options: {
    mixup_eta: { type: "number >= 0", default: 0.1, help: "weight of the term; 0: mixup", value: "ETA" },
  },
  rows: (rec, { logits, targets, softened }) => crossEntropy(rec, logits, targets, softened),
  mixed(rec, { logits, targets, others, shares, rests, apart, softened, values: { mixup_eta: eta } }) {
    const plain = add(
      rec,
      mul(rec, crossEntropy(rec, logits, targets, softened), shares),
      mul(rec, crossEntropy(rec, logits, others, softened), rests),
    );
    if (eta === 0) return plain;
    const both = add(
      rec,
      mul(rec, without(rec, logits, targets, others), shares),
      mul(rec, without(rec, logits, others, targets), rests),
    );
    return add(rec, plain, scale(rec, mul(rec, both, apart), eta));
  },
});
