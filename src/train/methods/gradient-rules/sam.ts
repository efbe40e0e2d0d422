/**
 * SAM: the gradient at theta + rho g / |g|, g the gradient at theta, so that training ends where the loss is flat.
 * Twice the passes. Foret et al. 2020, https://arxiv.org/abs/2010.01412
 */
import { defineGradientRule, PATH_LAWS } from "../../../run/training/gradient-rule.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { worstNearby } from "../../../run/training/worst-nearby.ts";

export const method = defineGradientRule({
  name: "sam",
  title: "Sharpness-aware minimisation",
  about: "the gradient from the worst place nearby, for a flat minimum; twice the passes",
  cite: "arXiv:2010.01412",
  laws: PATH_LAWS,
  options: {
    sam_rho: { type: "number >= 0", default: 0.05, help: "distance to that place, over all weights", value: "R" },
  },
  rule({ gpu, parameters, values: { sam_rho: rho } }) {
    const weights = new Perturbation(gpu, parameters, ["weights"]);
    return {
      name: "sam",
      part: (_, pass) => worstNearby(weights, pass, rho, () => weights.along(rho)),
      bytes: weights.bytes,
      free: () => weights.free(),
    };
  },
});
