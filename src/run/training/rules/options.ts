/** Options of update rules that every script that trains has. */
import type { Options } from "../../../method/options.ts";

export const RULES = {
  softmask: {
    type: "string[]",
    help: "masks m of weights, rows, columns or values, 0 to 1: these move by 1 - m of their steps; the largest of several files",
    value: "FILE",
  },
  softmask_apply: {
    type: "'update' | 'grad'",
    default: "update",
    needs: "softmask",
    help: "what is scaled: the step, or the gradient, whose scale optimizers such as AdamW divide out again",
  },
  penalty_weight: {
    type: "number >= 0",
    help: "lambda of the penalty lambda / 2 sum F (theta - start)^2: L2-SP, or with --penalty-importance EWC",
    value: "L",
  },
  penalty_importance: {
    type: "string",
    needs: "penalty_weight",
    help: "F of every weight, as evaluate --probe fisher or unlearn importance writes it; 1 when left out",
    value: "FILE",
  },
} as const satisfies Options;
