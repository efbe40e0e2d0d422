/**
 * Cross-entropy of z + tau log pi, pi the shares of labels in the training data: what is trained by it is balanced when
 * its logits are read as they are. Menon et al., ICLR 2021, https://arxiv.org/abs/2007.07314; the downstream half of
 * Chen et al., ICML 2025 ("Rethinking the Bias of Foundation Model under Long-tailed Distribution").
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add } from "../../../tensor/ops/elementwise.ts";

export const method = defineLabelLoss({
  name: "logit-adjust",
  title: "Logit adjustment",
  about: "cross-entropy of logits with the log shares of labels added, for labels of unequal numbers",
  cite: "arXiv:2007.07314",
  laws: {
    shiftFree: true,
    favours: true,
    vanishes: true,
    bounded: true,
    ownRow: true,
  },
  counts: true,
  options: {
    adjust_tau: { type: "number >= 0", default: 1, help: "how much of the log shares; 0: cross-entropy", value: "TAU" },
  },
  rows(rec, { logits, targets, values: { adjust_tau: tau }, counts }) {
    const all = counts.reduce((sum, count) => sum + count, 0);
    // A label that never comes is one that came half a time.
    const shares = Float32Array.from(counts, (count) => tau * Math.log(Math.max(count, 0.5) / all));
    return crossEntropy(rec, add(rec, logits, rec.constant(shares, [shares.length], "log shares")), targets);
  },
});
