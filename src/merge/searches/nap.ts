/**
 * A search that was learnt: an attentive neural process, trained on random smooth functions of the same space before
 * the first trial, judges random candidates by the trials so far; the next point is the one it would choose first.
 *
 * Maraval, Zimmer, Grosnit and Bou Ammar 2023, https://arxiv.org/abs/2305.15930. Departs from it in the network, a
 * kernel regression with learnt lengths where the source has a transformer, so that a few seconds of one core train it
 * for the space at hand. Half of the candidates lie near the best point so far.
 */
import { Random } from "../../data/random.ts";
import { defineSearch, type Scored, type Searcher } from "../../run/searching/contract.ts";
import { coordinatesOf, defaults, type GeneValues, placesOf, pointAt, type Space } from "../../run/searching/space.ts";
import { candidatesOf, historyOf, metaTrain, type Trained } from "../search/meta-training.ts";

interface Course {
  readonly space: Space;
  readonly budget: number;
  readonly seed: number;
  /** Random points before the network chooses. */
  readonly initial: number;
  /** Points that each step ranks. */
  readonly candidates: number;
}

/** The candidate of the largest acquisition value that was not tried; the first of them where all were. */
function proposed({ network, theta }: Trained, course: Course, trials: readonly Scored[]): GeneValues {
  const { space, budget, seed, candidates } = course;
  const scores = trials.map((trial) => trial.scores[0]!);
  const leader = trials[scores.indexOf(Math.max(...scores))]!;
  const random = new Random(seed, "nap", trials.length);
  const points = candidatesOf(random, space.length, placesOf(space, leader.point.values), candidates).map((places) =>
    pointAt(space, places),
  );
  const told = trials.map(({ point }) => coordinatesOf(space, point.values));
  const history = historyOf(told, scores, 1 - trials.length / budget);
  const queries = Float64Array.from(points.flatMap((values) => coordinatesOf(space, values)));
  const { acquisition } = network.forward(theta, history, queries);
  const seen = new Set(trials.map(({ point }) => JSON.stringify(point.values)));
  let top: number | undefined;
  for (const [c, values] of points.entries()) {
    if (top !== undefined && !(acquisition[c]! > acquisition[top]!)) continue;
    if (!seen.has(JSON.stringify(values))) top = c;
  }
  return points[top ?? 0]!;
}

/** Searches with a network, which `train` makes when it is first needed. */
export function searcherOf(course: Course, train: () => Trained): Searcher {
  const { space, seed, initial } = course;
  const trials: Scored[] = [];
  let trained: Trained | undefined;
  return {
    ask() {
      if (trials.length === 0) return [{ values: defaults(space) }];
      if (trials.length >= initial) {
        trained ??= train();
        return [{ values: proposed(trained, course, trials) }];
      }
      const random = new Random(seed, "nap", trials.length);
      const places = space.map(() => random.uniform());
      return [{ values: pointAt(space, places) }];
    },
    tell: (batch) => void trials.push(...batch),
  };
}

export const method = defineSearch({
  name: "nap",
  title: "neural acquisition process",
  about: "a small network, trained on random smooth functions of the same space, chooses what to try next",
  cite: "arXiv:2305.15930",
  objectives: "one",
  options: {
    initial: {
      type: "number.integer >= 1",
      help: "random points before the network chooses; 3, at most a third of the budget, when left out",
    },
    candidates: { type: "number.integer >= 1", default: 500, help: "points that each step ranks" },
    training_steps: { type: "number.integer >= 1", default: 500, help: "training steps before the first trial" },
    auxiliary: { type: "number >= 0", default: 1, help: "weight of -log p(scores) in training" },
  },

  make({ space, budget, seed, values, note }) {
    const { candidates, auxiliary: lambda, training_steps: steps } = values;
    const initial = values.initial ?? Math.max(1, Math.min(3, Math.floor(budget / 3)));
    return searcherOf({ space, budget, seed, initial, candidates }, () => {
      const began = performance.now();
      const trained = metaTrain({ space, budget, initial, steps, lambda, seed });
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      note?.(`trained a network of ${trained.theta.length} numbers to search, ${steps} steps in ${seconds} s`);
      return trained;
    });
  },
});
