/**
 * Steps of a point that a force draws to the origin, as rows for offline reinforcement learning: what it was, the
 * force, the reward and what came next, with the values of the best policy beside it. Linear-quadratic control after
 * Kalman 1960, Contributions to the Theory of Optimal Control.
 *
 * The force is that of the best policy times `quality`, with noise. The live environment is
 * `environments/pointmass.ts`.
import { UserError } from "../../errors.ts";
import { type Behaviour, transitionAt } from "../environments/contract.ts";
import { type Controller, type Force, type Point, Pointmass } from "../environments/pointmass.ts";
import { Random } from "../random.ts";
import { type Row, task } from "../task.ts";

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

export const method = task({
  name: "pointmass",
  title: "Point mass",
  about: "steps of a point under a force, and what the best control would get",
  cite: "Kalman, Contributions to the Theory of Optimal Control",
  splits: "independent episodes under the same dynamics",
  options: {
    effort: { type: "0.001 <= number <= 1000", default: 0.1, help: "what a square of the force costs" },
    noise: { type: "0 <= number <= 10", default: 0.02, help: "standard deviation of what shakes a velocity" },
    discount: { type: "0 <= number <= 0.999", default: 0.95, help: "what a reward one step later counts" },
    quality: { type: "0 <= number <= 1", default: 0.5, help: "part of the best force that the behaviour takes" },
    deviation: { type: "0 <= number <= 100", default: 0.5, help: "standard deviation of its noise" },
    horizon: { type: "1 <= number.integer <= 1000", default: 32, help: "steps of an episode" },
  },

  laws: {
    apart: true,
    distinctRows: true,
    answered: "a force is one that was taken, not a right one",
    endless: true,
  },
  trials: [{}, { quality: 1, deviation: 0 }],

  open({ seed, split }, { quality, deviation, horizon, ...options }) {
    const point = new Pointmass(options);
    const [gp, gv] = point.gains;
    const controller: Controller = { gains: [quality * gp, quality * gv], deviation };
    const behaviour: Behaviour<Point, Force> = {
      horizon,
      act: (state, random) => Pointmass.force(controller, state, random),
    };
    const behaviourReturn = point.returnOf(controller);
    if (!Number.isFinite(behaviourReturn))
      throw new UserError("these options let the point run away", "lower the discount");
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: {
        shape: [point.observed],
        gains: point.gains.map(rounded),
        optimal_return: rounded(point.returnOf({ gains: point.gains, deviation: 0 })),
        behaviour_return: rounded(behaviourReturn),
      },
      row(index): Row {
        const [episode, step] = [Math.floor(index / horizon), index % horizon];
        const random = new Random(seed, "pointmass", split, episode);
        const { state, action, next, reward, done, first } = transitionAt(point, behaviour, step, random);
        return {
          ...{ x: point.observe(state), action, reward, next_x: point.observe(next), done },
          ...{ episode, step, first, timeout: step === horizon - 1 },
          optimal_value: rounded(point.bestValue(state)),
          optimal_advantage: rounded(point.bestActionValue(state, action) - point.bestValue(state)),
        };
      },
    };
  },
});
