/**
 * Curvature regularisation: the forget loss plus c |d|, d = g(theta + mu v) - g(theta), v = g / |g|. Fan et al., ICML
 * 2025, https://arxiv.org/abs/2502.05374
 *
 * The gradient of |d| with v held is taken as a difference along d / |d| as well:
 *   [ (g(theta + mu v + r d/|d|) - g(theta + mu v)) - (g(theta + r d/|d|) - g(theta)) ] / r,  r = mu = rho
 */
import { defineSmoothing, EVERY_LAW, movingRule, PENALTY, radius } from "../../smoothing.ts";

export const method = defineSmoothing({
  name: "cr",
  title: "Curvature regularisation",
  about: "the forget loss with a penalty on how fast its gradient changes; four times the forget passes",
  cite: "arXiv:2502.05374",
  laws: EVERY_LAW,
  options: { rho: radius(0.01), smooth_weight: PENALTY },
  rule: (setup) =>
    movingRule(setup, ["g", "weights", "ahead", "d", "first"], async (weights, pass, { rho, smooth_weight: c }) => {
      await pass({ fresh: true, report: true });
      if (c === 0 || rho === 0) return;
      weights.keep("g");
      weights.save();
      await weights.along(rho, "g");
      await pass({ fresh: true, report: false });
      weights.keep("ahead");
      await weights.mix("g", -1, 1);
      weights.keep("d");
      await weights.along(rho, "d"); // from theta + mu v
      await pass({ fresh: true, report: false });
      await weights.mix("ahead", -1, 1);
      weights.keep("first"); // g(theta + mu v + r d) - g(theta + mu v)
      weights.restore();
      await weights.along(rho, "d");
      await pass({ fresh: true, report: false });
      weights.restore();
      await weights.mix("g", -1, 1); // g(theta + r d) - g(theta)
      await weights.mix("first", c / rho, -c / rho);
      await weights.mix("g", 1, 1);
    }),
});
