/** Probability of the right one of several options, divided by the sum of all. Probabilities are geometric means over tokens. */
import { defineMetric, type Losses, mean, type ScoredRow } from "../../contract.ts";

export function share({ right, wrong }: Losses): number {
  const own = Math.exp(-mean(right));
  return own / (own + wrong.reduce((sum, loss) => sum + Math.exp(-loss), 0) + 1e-10);
}

export const normalisedProbability = (rows: readonly ScoredRow[]): number =>
  mean(rows.flatMap(({ options }) => (options ? share(options) : [])));

export const method = defineMetric({
  name: "normalised-probability",
  title: "Normalised probability",
  about:
    "probability of the right option divided by that of all (rows with choices and answer, or with perturbed_answer)",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "options",
  lower: false,
  knowledge: "more",
  value: (rows) => normalisedProbability(rows),
});
