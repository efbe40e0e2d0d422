/**
 * Gradient penalty: the forget loss plus c |its gradient|, whose own gradient is a difference along v = g / |g|. Fan et
 * al., ICML 2025, https://arxiv.org/abs/2502.05374
 *
 *   g + c (g(theta + r v) - g) / r,  r = 0.01
 */
import { defineSmoothing, EVERY_LAW, movingRule, PENALTY, radius } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "gp",
  title: "Gradient penalty",
  about: "the forget loss with a penalty on the length of its gradient",
  cite: "arXiv:2502.05374",
  laws: EVERY_LAW,
  options: { rho: radius(0.01), smooth_weight: PENALTY },
  rule: (setup) =>
    movingRule(setup, ["g", "weights"], async (weights, pass, { rho, smooth_weight: c }) => {
      await pass({ fresh: true, report: true });
      if (c === 0 || rho === 0) return;
      weights.keep("g");
      weights.save();
      await weights.along(rho);
      await pass({ fresh: true, report: false });
      weights.restore();
      await weights.mix("g", 1 - c / rho, c / rho);
    }),
});
