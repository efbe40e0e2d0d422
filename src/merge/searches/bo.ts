/**
 * Bayesian optimisation: a Gaussian process is fitted to the scores, and the next point is where improvement is
 * expected most.
 *
 * Jones, Schonlau and Welch 1998, https://doi.org/10.1023/A:1008306431147; Matern 5/2 and fitted lengths as in Snoek,
 * Larochelle and Adams 2012, https://arxiv.org/abs/1206.2944. A choice is a coordinate per value. Scores that are far
 * below the others are raised, so that one broken merge does not hide the differences of the rest.
 */
import { Random } from "../../data/random.ts";
import { defineSearch, type Scored } from "../../run/searching/contract.ts";
import { coordinatesOf, defaults, type GeneValues, placesOf, pointAt } from "../../run/searching/space.ts";
import { mirrored } from "../search/cma.ts";
import { evened } from "../search/even-scores.ts";
import { fit, type Hyper, logImprovement, predict } from "../search/gaussian-process.ts";

/** Rounds in which the best candidate is moved a little, and moves per round. */
const ROUNDS = [0.1, 0.03, 0.01, 0.003];
const MOVES = 40;

/** Points up to which the kernel is fitted anew at every step; later once per twentieth more. */
const EVERY_STEP = 40;

export const method = defineSearch({
  name: "bo",
  title: "Bayesian optimisation",
  about: "tries next where a Gaussian process expects the most improvement",
  cite: "arXiv:1206.2944",
  objectives: "one",
  options: {
    initial: {
      type: "number.integer >= 1",
      help: "random points before the first fit; 2 + numbers that vary, at most a third of the budget, when left out",
    },
    candidates: { type: "number.integer >= 1", default: 500, help: "random points that each step ranks" },
  },

  make({ space, budget, seed, values: { initial, candidates } }) {
    const warm = initial ?? Math.max(1, Math.min(2 + space.length, Math.floor(budget / 3)));
    const trials: Scored[] = [];
    let kernel: { hyper: Hyper; points: number } | undefined;

    /** The point of the largest expected improvement; among equal points the first. */
    const proposed = (): GeneValues => {
      const random = new Random(seed, "bo", trials.length);
      const points = trials.map(({ point }) => coordinatesOf(space, point.values));
      const scores = evened(trials.map((trial) => trial.scores[0]!));
      const stale = !kernel || points.length <= EVERY_STEP || points.length >= kernel.points * 1.05;
      const process = fit(points, scores, { seed, start: kernel?.hyper, fixed: !stale });
      if (stale) kernel = { hyper: process.hyper, points: points.length };
      const best = Math.max(...scores);
      const worth = (places: readonly number[]) =>
        logImprovement(predict(process, coordinatesOf(space, pointAt(space, places))), best);
      const seen = new Set(trials.map(({ point }) => JSON.stringify(point.values)));
      let top: { places: number[]; worth: number } | undefined;
      const consider = (places: number[]): void => {
        if (seen.has(JSON.stringify(pointAt(space, places)))) return;
        const found = worth(places);
        if (!top || found > top.worth) top = { places, worth: found };
      };
      for (let i = 0; i < candidates; i++) consider(space.map(() => random.uniform()));
      const leader = trials[scores.indexOf(best)]!;
      const from = placesOf(space, leader.point.values);
      for (const width of ROUNDS) {
        for (let i = 0; i < MOVES; i++) {
          const centre = i % 2 === 0 && top ? top.places : from;
          consider(centre.map((place) => mirrored(place + width * random.normal())));
        }
      }
      return pointAt(space, top?.places ?? space.map(() => random.uniform()));
    };

    return {
      ask() {
        if (trials.length === 0) return [{ values: defaults(space) }];
        if (trials.length >= warm) return [{ values: proposed() }];
        const random = new Random(seed, "bo", trials.length);
        return [
          {
            values: pointAt(
              space,
              space.map(() => random.uniform()),
            ),
          },
        ];
      },
      tell: (batch) => void trials.push(...batch),
    };
  },
});
