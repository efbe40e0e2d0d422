/**
 * Linear: the weighted average of the models (model soups).
 *
 * Wortsman et al., ICML 2022, https://arxiv.org/abs/2203.05482; parameters as mergekit's `linear`.
 * A base, if given, is one more model. Weights that sum to 0 are refused where mergekit divides by zero.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";

export const method = mergeMethod({
  name: "linear",
  title: "Linear (model soup)",
  about: "weighted average of the models",
  cite: "arXiv:2203.05482",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "input",
  heights: "common",
  passes: "one",
  options: {
    weight: {
      type: "number",
      per: "model",
      required: true,
      help: "share of each model; on the command line 1 if left out",
    },
    normalize: { type: "boolean", default: true, help: "divide by the sum of the weights" },
  },

  /** sum_i w_i x_i, divided by sum_i w_i. One pass; no memory besides the inputs. */
  async merge(job) {
    const { weight, normalize } = job.values;
    // In compatibility mode the divisor is the sum of the weights as rounded, or a bias of their rounding would remain.
    const total = job.roundedToWork(weight.reduce((sum, w) => sum + job.roundedToWork(w), 0));
    if (normalize && total === 0) {
      throw new UserError(
        `${job.name}: the weights sum to 0`,
        "give other weights, or --no-normalize (normalize: false in a recipe)",
      );
    }
    await job.combine(weight, { divisor: normalize ? total : 1 });
  },
});
