/**
 * The reverse KL from the shares of both answers under the model, sigmoid(+-beta delta), to those of the labels, 1 - e
 * and e. Ji et al. 2024 (EXO), https://arxiv.org/abs/2402.00856
 */
import { add, addScalar, logSigmoid, mul, scale, sigmoid, sub } from "../../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { definePairLoss, LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "exo-pair",
  title: "Efficient exact optimization",
  about: "reverse KL from the shares of both answers to smoothed labels",
  cite: "arXiv:2402.00856",
  options: {
    label_smoothing: { ...LABEL_SMOOTHING(0.001), type: "0 < number < 0.5" },
  },
  loss(rec, { chosen, rejected, beta, values: { label_smoothing: e } }) {
    const margin = scale(rec, sub(rec, chosen.score, rejected.score), beta);
    const part = (x: Tensor, label: number) =>
      mul(rec, sigmoid(rec, x), addScalar(rec, logSigmoid(rec, x), -Math.log(label)));
    return add(rec, part(margin, 1 - e), part(scale(rec, margin, -1), e));
  },
});
