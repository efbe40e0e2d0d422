/**
 * The entropy of the model's own predictions, on rows without labels: Yang et al., ICLR 2024,
 * https://arxiv.org/abs/2310.02575, -sum_c p_c log(p_c + 1e-8). Of texts it is that of the next token, at the places
 * that a training would count.
 */
import { addScalar, log, mul } from "../../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../../tensor/ops/head-loss.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";
import type { TuneLoss } from "../loss.ts";

export const loss: TuneLoss = {
  needsLabels: false,
  needsExperts: false,
  record: (rec, { hidden, head, width }) =>
    chunkedHead(rec, {
      hidden,
      head,
      width,
      along: [],
      loss(logits) {
        const p = softmax(rec, logits); // (n, C)
        return rowSum(rec, mul(rec, p, log(rec, addScalar(rec, p, 1e-8))), -1); // (n)
      },
    }),
};
