import { bestStop, simulate, testError } from "../../../src/evaluate/gen-dynamics.ts";
import { experimentOf } from "../experiment.ts";

const TIMES = [0.3, 1, 3, 8, 20];
const world = (ratio: number, start = 0.3) => ({ ratio, teacher: 1, noise: 0.2, start });

/** The largest gap between theory and what 20 draws of 200 inputs give, relative. */
function gap(ratio: number, seed: number): number {
  const measured = simulate(world(ratio), TIMES, { inputs: 200, draws: 20, seed });
  return Math.max(...TIMES.map((time, i) => Math.abs(measured[i]! / testError(world(ratio), time) - 1)));
}

/** The measured error at a late time. */
const late = (ratio: number, start: number, seed: number): number =>
  simulate(world(ratio, start), [40], { inputs: 60, draws: 40, seed })[0]!;

export const experiment = experimentOf({
  title: "The test error of a linear student, in theory and as it is measured",
  about: `Teacher weights of variance 1, noise of variance 0.2, students that begin with variance 0.3 or as said. *Gap*: the largest relative distance of the integral from
the mean of 20 draws of 200 inputs, at times ${TIMES.join(", ")}. *Late*: the mean error of 40 draws of 60 inputs at time 40. Advani, Saxe and Sompolinsky 2017
([arXiv:1710.03667](https://arxiv.org/abs/1710.03667)) expect the late error to be worst at one sample for each input, and the start to count below that alone.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "gap, 0.7 samples for each input": { below: 0.05 },
    "gap, 2 samples for each input": { below: 0.05 },
    "late, 0.5 samples for each input": {},
    "late, 1 sample for each input": {},
    "late, 2 samples for each input": {},
    "late, 1 sample − 0.5": {},
    "late, 1 sample − 2": { above: 0.3 },
    "late, start of 1 − start of 0, 0.5 samples": { above: 0.3 },
    "late, start of 1 − start of 0, 2 samples": { below: 0.1, above: -0.1 },
    "error at the best time, in theory, 1 sample": {},
  },
  async run(seed) {
    const [half, one, two] = [0.5, 1, 2].map((ratio) => late(ratio, 0.3, seed)) as [number, number, number];
    return {
      "gap, 0.7 samples for each input": gap(0.7, seed),
      "gap, 2 samples for each input": gap(2, seed),
      "late, 0.5 samples for each input": half,
      "late, 1 sample for each input": one,
      "late, 2 samples for each input": two,
      "late, 1 sample − 0.5": one - half,
      "late, 1 sample − 2": one - two,
      "late, start of 1 − start of 0, 0.5 samples": late(0.5, 1, seed) - late(0.5, 0, seed),
      "late, start of 1 − start of 0, 2 samples": late(2, 1, seed) - late(2, 0, seed),
      "error at the best time, in theory, 1 sample": bestStop(world(1), 100).error,
    };
  },
});
