/**
 * Randomised smoothing: the mean gradient at three places theta + u, u ~ N(0, rho^2). Cohen et al. 2019,
 * https://arxiv.org/abs/1902.02918
 */
import { defineSmoothing, EVERY_LAW, movingRule, radius } from "../../smoothing.ts";

const DRAWS = 3;

export const method = defineSmoothing({
  name: "rs",
  title: "Randomised smoothing",
  about: "the mean of the forget gradient at three random places nearby",
  cite: "arXiv:1902.02918",
  laws: {
    ...EVERY_LAW,
    plainAtZero: "it looks at three places, whatever the radius",
    plainWithoutWeight: "it has no penalty",
  },
  options: { rho: radius(1e-4) },
  rule: (setup) =>
    movingRule(setup, ["weights", "sum"], async (weights, pass, { rho, seed }) => {
      weights.save();
      for (let draw = 0; draw < DRAWS; draw++) {
        await weights.noise(rho, (Math.imul(seed, 0x9e3779b1) + draw) >>> 0);
        await pass({ fresh: draw === 0, report: draw === 0 });
        weights.restore();
      }
      weights.keep("sum");
      await weights.mix("sum", 1 / DRAWS, 0);
    }),
});
