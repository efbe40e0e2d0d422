/** Weight averaging: the result is the mean of the weights after every step. Izmailov et al. 2018, https://arxiv.org/abs/1803.05407 */
import { defineSmoothing } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "wa",
  title: "Weight averaging",
  about: "the mean of the weights after every step from --average-from on",
  cite: "arXiv:1803.05407",
  rho: 0,
  average: true,
});
