/** Share of prompts whose greedy continuation is the expected text. */
import { defineMetric, ratio } from "../../contract.ts";

export const method = defineMetric({
  name: "exact-match",
  title: "Exact match",
  about: "share of prompts that greedy decoding continues with exactly the completion",
  cite: "arXiv:1606.05250",
  options: {},
  task: "causal-lm",
  needs: "generated",
  lower: false,
  knowledge: "more",
  value: (rows) => {
    const known = rows.filter(({ generated }) => generated);
    return ratio(
      known,
      ({ generated }) => (generated!.found.trim() === generated!.expected.trim() ? 1 : 0),
      () => 1,
    );
  },
});
