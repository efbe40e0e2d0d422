/** Weight averaging: the result is the mean of the weights after every step. Izmailov et al. 2018, https://arxiv.org/abs/1803.05407 */
import { sameClaim } from "../../../method/laws.ts";
import { defineSmoothing, SMOOTHING_LAWS } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "wa",
  title: "Weight averaging",
  about: "the mean of the weights after every step from --average-from on",
  cite: "arXiv:1803.05407",
  options: {
    average_from: { type: "number.integer >= 1", default: 1, help: "first step that counts", value: "STEP" },
  },
  laws: sameClaim(SMOOTHING_LAWS, "gradients are as they are"),
  averageFrom: ({ average_from }) => average_from,
});
