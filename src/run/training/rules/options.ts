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
  penalty_from: {
    type: "string",
    needs: "penalty_weight",
    help: "model whose weights are `start`, in the place of those that the training begins with",
    value: "MODEL",
  },
  class_anchor: {
    type: "string",
    help: "pairs of a new phrase and that of its class, as lines of new and anchor: their states are kept near each other",
    value: "FILE",
  },
  class_anchor_weight: {
    type: "number >= 0",
    default: 1,
    needs: "class_anchor",
    help: "weight of the mean of 1 - cosine over the pairs",
    value: "L",
  },
  class_anchor_pool: {
    type: "'mean' | 'last'",
    default: "mean",
    needs: "class_anchor",
    help: "state of a phrase: the mean over its tokens, or that of the last one",
  },
  class_anchor_batch: {
    type: "number.integer >= 1",
    default: 8,
    needs: "class_anchor",
    help: "pairs of a step; all where there are fewer",
    value: "N",
  },
  unit_rates: {
    type: "string[]",
    help: "rows that are to be kept, name=path for each group: the more a unit matters to them, the less it moves (ADEPT)",
    value: "FILE",
  },
  unit_rates_unit: {
    type: "'tensor' | 'row' | 'head'",
    default: "tensor",
    needs: "unit_rates",
    help: "what has a rate of its own",
  },
  unit_rates_every: {
    type: "number.integer >= 1",
    default: 500,
    needs: "unit_rates",
    help: "steps from one measurement to the next",
    value: "P",
  },
  unit_rates_batch: {
    type: "number.integer >= 1",
    default: 2,
    needs: "unit_rates",
    help: "rows of a batch that is measured",
    value: "N",
  },
  ternary: {
    type: "string[]",
    help: "matrices that run as -g, 0 and g, and are so in the result, by pattern: *.experts.*",
    value: "GLOB",
  },
  lora_plus: {
    type: "number > 0",
    needs: ["lora", "lora_continue"],
    with: { adapter: ["lora", "rslora", "dora", "allora"] },
    help: "LoRA+: learning rate of an adapter's B over that of its A; its authors advise 16",
    value: "RATIO",
  },
  ema: {
    type: "'dema' | 0 <= number < 1",
    help: "write a moving average of the weights, of this decay, or (dema) of one that follows distances and gradients at every step",
    value: "DECAY",
  },
  swa: {
    type: "0 <= number < 1",
    help: "write the mean of the weights after every step from this share of the steps on (SWA); not beside --ema",
    value: "F",
  },
} as const satisfies Options;
