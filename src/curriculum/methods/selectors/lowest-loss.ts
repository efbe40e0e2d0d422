/**
 * Rows of lowest loss under a model of trusted text: low perplexity is high quality. Guo et al. 2024,
 * https://arxiv.org/abs/2406.14833. The ordering quality.ts does the same within a run.
 */
import { defineSelector } from "../../contract.ts";
import { ranked } from "../../ranked-rows.ts";

export const method = defineSelector({
  name: "lowest-loss",
  title: "Lowest loss",
  about: "rows that the model finds likeliest",
  cite: "arXiv:2406.14833",
  needs: "losses",
  laws: { anyRowOrder: true, unknownLast: true, nested: true },
  options: {},
  select: ({ scores, budget }) => ({ rows: [...ranked(scores).subarray(0, budget)] }),
});
