/** Mean cross-entropy of the tokens that count, in nats. */
import { defineMetric, ratio, summed, tokens } from "../../contract.ts";

export const method = defineMetric({
  name: "loss",
  title: "Loss",
  about: "mean cross-entropy of the tokens (or labels) that count, in nats",
  cite: "",
  options: {},
  lower: true,
  knowledge: "less",
  value: (rows) => ratio(rows, summed, tokens),
});
