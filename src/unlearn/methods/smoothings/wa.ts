/**
 * Weight averaging: the result is the mean of the weights after every step. Izmailov et al. 2018,
 * https://arxiv.org/abs/1803.05407
 */
import { UserError } from "../../../errors.ts";
import { sameClaim } from "../../../method/laws.ts";
import { WeightAverage } from "../../../run/training/weight-average.ts";
import { defineSmoothing, SMOOTHING_LAWS } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "wa",
  title: "Weight averaging",
  about: "the mean of the weights after every step from --average-from on",
  cite: "arXiv:1803.05407",
  laws: sameClaim(SMOOTHING_LAWS, "gradients are as they are"),
  options: {
    average_from: { type: "number.integer >= 1", default: 1, help: "first step whose weights count", value: "STEP" },
  },
  averages: true,
  rule({ gpu, parameters, values: { average_from: from }, steps }) {
    if (from > steps) throw new UserError(`--average-from ${from}: the run has ${steps} steps`);
    return new WeightAverage(gpu, parameters, { from });
  },
});
