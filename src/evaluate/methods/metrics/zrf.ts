/**
 * Zero retrain forgetting: how near a classifier's outputs are to those of the same network with weights that never
 * learnt. Chundawat et al., AAAI 2023, https://arxiv.org/abs/2205.08096
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { mean } from "../../measures/means.ts";

/** Jensen-Shannon divergence of two distributions, in nats. */
export function jensenShannon(p: ArrayLike<number>, q: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const m = (p[i]! + q[i]!) / 2;
    if (p[i]! > 0) sum += 0.5 * p[i]! * Math.log(p[i]! / m);
    if (q[i]! > 0) sum += 0.5 * q[i]! * Math.log(q[i]! / m);
  }
  return Math.max(0, sum);
}

export const method = defineMetric({
  name: "zrf",
  title: "Zero retrain forgetting",
  about: "1 less the divergence of the outputs from those of the same network without training",
  formula:
    "1 - mean over rows of the Jensen-Shannon divergence, in nats, between the classes' probabilities under the model and under the same network with weights that are drawn and never learnt",
  reads: "x and label of every row, for classifiers alone; on the group forget --gold's own value is the goal",
  cite: "arXiv:2205.08096",
  options: {},
  task: "classifier",
  needs: ["probabilities", "untrained"],
  range: [0, 1],
  better: "none",
  knowledge: "less",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: "a model that never learnt gives no right answers",
  },
  value: (rows: readonly ScoredRow[]) =>
    mean(rows.map(({ probabilities, untrained }) => 1 - jensenShannon(probabilities!, untrained!))),
});
