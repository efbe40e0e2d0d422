/** Probability of the right answer in other words. Losses of several paraphrases are averaged before the exponential. */
import { defineMetric, mean } from "../../contract.ts";

export const method = defineMetric({
  name: "paraphrased-probability",
  title: "Paraphrased probability",
  about: "probability of the right answer in other words (rows with paraphrased_answers or paraphrased_answer)",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "paraphrases",
  lower: false,
  knowledge: "more",
  value: (rows) => mean(rows.flatMap(({ paraphrases }) => (paraphrases ? Math.exp(-mean(paraphrases)) : []))),
});
