/** Divergence from the task's own expert, KL(expert || merged), at temperature 1: Hinton et al., arXiv:1503.02531. */

import { divergence } from "../../../tensor/ops/divergence.ts";
import { stopGradient } from "../../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../../tensor/ops/head-loss.ts";
import type { TuneLoss } from "../loss.ts";

export const loss: TuneLoss = {
  needsLabels: false,
  needsExperts: true,
  record(rec, { hidden, head, width, targets, expert }) {
    if (!expert) throw new RangeError("kd needs the task's expert");
    return chunkedHead(rec, {
      hidden,
      head,
      width,
      along: [expert.hidden, targets],
      loss: (logits, [own, labels]) =>
        divergence(rec, logits, stopGradient(rec, expert.head(own!)), labels!, { kind: "forward-kl" }),
    });
  },
};
