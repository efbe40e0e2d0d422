/** Weight averaging: the result is the mean of the weights after every step. Izmailov et al. 2018, https://arxiv.org/abs/1803.05407 */
import { defineSmoothing } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "wa",
  title: "Weight averaging",
  about: "the mean of the weights after every step from --average-from on",
  cite: "arXiv:1803.05407",
  options: {
    average_from: { type: "number.integer >= 1", default: 1, help: "first step that counts", value: "STEP" },
  },
  averageFrom: ({ average_from }) => average_from,
});
