/**
 * Rows whose loss pulls hardest at the weights (GraNd). Paul et al. 2021, https://arxiv.org/abs/2107.07075; here the
 * norm is the mean over tensors of the norm of the gradient of the row's mean loss. Wrong labels pull hard too.
 */
import { defineSelector } from "../../contract.ts";
import { ranked } from "../../ranked-rows.ts";

export const method = defineSelector({
  name: "gradient-norm",
  title: "Gradient norm",
  about: "rows with the largest gradients",
  cite: "arXiv:2107.07075",
  needs: "norms",
  laws: { anyRowOrder: true, unknownLast: true, nested: true },
  options: {},
  select: ({ scores, budget }) => ({ rows: [...ranked(scores, "largest").subarray(0, budget)] }),
});
