/**
 * DEMA: while a task is learnt, a moving average of the weights follows, whose step is set at every step of training
 * from distances and gradients; when the task is done the average takes the weights' place, and the next task begins
 * there. Qiao et al., ICML 2025, https://arxiv.org/abs/2410.10868; moving-average.ts has the formula.
 *
 * Their growth of adapters by the likeness of instructions is not part of it.
 */
import { movingAverage } from "../../../run/training/rules/moving-average.ts";
import { continualMethod } from "../../continual/contract.ts";

export const method = continualMethod({
  name: "dema",
  title: "Dynamic moving average",
  about: "a moving average of the weights takes their place after each task, its step set by gradients",
  cite: "arXiv:2410.10868",
  options: {
    share: {
      type: "0 <= number <= 1",
      value: "A",
      help: "share of the weights in every step of the average, in place of the one that follows gradients; 1 is plain training",
    },
  },
  begin: ({ model, values: { share } }) => ({
    stage: () => ({ updates: [movingAverage(model, share === undefined ? "dema" : 1 - share, "dema")] }),
  }),
});
