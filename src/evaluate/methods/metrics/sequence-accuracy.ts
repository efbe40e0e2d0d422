/** Share of rows of which every token that counts is the most likely one, given the right ones before it. */
import { defineMetric, ratio, right, tokens } from "../../contract.ts";

export const method = defineMetric({
  name: "sequence-accuracy",
  title: "Sequence accuracy",
  about: "share of rows whose every token is the most likely one, given the right ones before it",
  cite: "",
  options: {},
  task: "causal-lm",
  lower: false,
  knowledge: "more",
  value: (rows) =>
    ratio(
      rows,
      (row) => (right(row) === tokens(row) ? 1 : 0),
      () => 1,
    ),
});
