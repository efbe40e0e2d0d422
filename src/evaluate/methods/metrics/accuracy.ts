/** Share of tokens, or of examples, whose most likely output is the right one. */
import { defineMetric, ratio, right, tokens } from "../../contract.ts";

export const method = defineMetric({
  name: "accuracy",
  title: "Accuracy",
  about: "share of tokens (or examples) whose most likely output is right",
  cite: "",
  options: {},
  lower: false,
  knowledge: "more",
  value: (rows) => ratio(rows, right, tokens),
});
