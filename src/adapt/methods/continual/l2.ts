/**
 * A penalty on the way from the weights after the task before, every weight alike. L2-SP, Li et al., ICML 2018,
 * https://arxiv.org/abs/1802.01483; there the start is the pretrained model alone.
 */
import { continualMethod } from "../../continual/contract.ts";
import { penaltyLearner } from "../../continual/penalty.ts";

export const method = continualMethod({
  name: "l2",
  title: "L2 to the task before",
  about: "a penalty on the squared way from the weights after the task before",
  cite: "arXiv:1802.01483",
  options: {
    lambda: { type: "number >= 0", default: 0.1, help: "weight of lambda / 2 sum (theta - theta*)^2" },
  },
  begin: (stream) => penaltyLearner(stream, { name: "l2", lambda: stream.values.lambda }),
});
