/**
 * Refusal fine-tuning: the rows to forget are answered by their `refusal`, or by one of a list, which is learnt as any
 * answer is. Maini et al. 2024, https://arxiv.org/abs/2401.06121; with --pd as SafeEraser has it, Chen et al. 2025,
 * https://arxiv.org/abs/2502.12520
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";
import { refusedRows } from "../../refused-rows.ts";

export const method = defineObjective({
  name: "refusal",
  title: "Refusal fine-tuning",
  about: "learns to refuse the questions to forget, by cross-entropy",
  cite: "arXiv:2401.06121",
  laws: { ...EVERY_LAW, forgets: "rows are refusals before the loss sees them" },
  weights: { forget: 1, retain: 1 },
  needs: [refusedRows],
  options: {},
  sequences: (_, { nll }) => nll,
});
