/**
 * ASAM: SAM with a neighbourhood that follows the size of every weight, so that it does not change where weights of one
 * layer are scaled up and those of the next down.
 *
 *   the gradient at theta + rho T^2 g / |T g|,  T = diag(|theta| + eta)
 *
 * Kwon et al., ICML 2021, https://arxiv.org/abs/2102.11600, element-wise. The authors leave biases out of T's |theta|;
 * here all weights are alike.
 */
import { defineGradientRule, PATH_LAWS } from "../../../run/training/gradient-rule.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { worstNearby } from "../../../run/training/worst-nearby.ts";

export const method = defineGradientRule({
  name: "asam",
  title: "Adaptive sharpness-aware minimisation",
  about: "as sam, looking the farther the larger a weight is; twice the passes",
  cite: "arXiv:2102.11600",
  laws: PATH_LAWS,
  options: {
    asam_rho: { type: "number >= 0", default: 0.5, help: "distance, in units of the weights' sizes", value: "R" },
    asam_eta: { type: "number > 0", default: 0.01, help: "added to every weight's size", value: "X" },
  },
  rule({ gpu, parameters, values: { asam_rho: rho, asam_eta: eta } }) {
    const weights = new Perturbation(gpu, parameters, ["weights"]);
    return {
      name: "asam",
      part: (_, pass) => worstNearby(weights, pass, rho, () => weights.alongScaled(rho, eta)),
      bytes: weights.bytes,
      free: () => weights.free(),
    };
  },
});
