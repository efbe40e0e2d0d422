/**
 * SAM: the gradient at theta + rho g / |g|, g the gradient at theta. Foret et al. 2020,
 * https://arxiv.org/abs/2010.01412
 */
import { worstNearby } from "../../../run/training/worst-nearby.ts";
import { defineSmoothing, EVERY_LAW, movingRule, radius } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "sam",
  title: "Sharpness-aware minimisation",
  about: "the forget gradient from the worst place nearby; twice the forget passes",
  cite: "arXiv:2010.01412",
  laws: { ...EVERY_LAW, plainWithoutWeight: "it has no penalty" },
  options: { rho: radius(0.01) },
  rule: (setup) =>
    movingRule(setup, ["weights"], (weights, pass, { rho }) =>
      worstNearby(weights, pass, rho, () => weights.along(rho)),
    ),
});
