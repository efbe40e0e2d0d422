/** The exponential of the loss. */
import { defineMetric, ratio, summed, tokens } from "../../contract.ts";

export const method = defineMetric({
  name: "perplexity",
  title: "Perplexity",
  about: "exponential of the loss",
  cite: "Jelinek et al. 1977",
  options: {},
  lower: true,
  knowledge: "less",
  value: (rows) => Math.exp(ratio(rows, summed, tokens)),
});
