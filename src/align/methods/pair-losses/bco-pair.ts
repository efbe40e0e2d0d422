/**
 * Binary classifier optimization of a pair: each answer is told apart from a threshold d, the mean reward of all
 * answers in the steps before: -log sigmoid(r_w - d) - log sigmoid(d - r_l). Jung et al. 2024,
 * https://arxiv.org/abs/2404.04656. The mean is over steps before, so it is 0 in the first.
 */
import { add, addScalar, logSigmoid, neg, scale } from "../../../tensor/ops/elementwise.ts";
import { dynamic } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { definePairLoss, REWARD_MEAN } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "bco-pair",
  title: "Binary classifier optimization",
  about: "tell chosen and rejected answers from the mean reward so far",
  cite: "arXiv:2404.04656",
  options: {},
  follows: true,
  loss(rec, { chosen, rejected, beta }) {
    const [won, lost] = [chosen, rejected].map(({ score }) => scale(rec, score, beta)) as [Tensor, Tensor];
    const short = (x: Tensor) => addScalar(rec, neg(rec, x), dynamic(REWARD_MEAN)); // d - x
    const above = logSigmoid(rec, neg(rec, short(won)));
    return neg(rec, add(rec, above, logSigmoid(rec, short(lost))));
  },
});
