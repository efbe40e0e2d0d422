/** Options of `merge gate`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { PGD } from "../../run/adversarial/options.ts";

export const GATE = {
  data: {
    type: "string[]",
    required: true,
    help: "rows that the gate learns from, name=path for each group",
    value: "FILE",
  },
  columns: READING.columns,
  least: { type: "0 < number < 1", default: 0.815, help: "least weight of the robust model", value: "A" },
  span: { type: "0 <= number < 1", default: 0.1, help: "how far its weight may rise above that", value: "A" },
  scale: { type: "number > 0", default: 2, help: "factor of the normalised output of the layers", value: "X" },
  bias: { type: "number", default: 0, help: "what is added to that", value: "X" },
  accurate_sharpness: { type: "number > 0", default: 2, help: "factor of the accurate model's logits", value: "S" },
  robust_sharpness: { type: "number > 0", default: 1, help: "factor of the robust model's logits", value: "S" },
  hidden: { type: "number.integer >= 1", default: 64, help: "units of the hidden layer", value: "N" },
  gate_weight: { type: "number >= 0", default: 1, help: "weight of telling moved rows from others", value: "X" },
  class_weight: { type: "number >= 0", default: 0.5, help: "weight of the mixture's cross-entropy", value: "X" },
  product_weight: { type: "number >= 0", default: 0.1, help: "weight of the product of the two", value: "X" },
  clean_weight: { type: "number > 0", default: 2, help: "weight of rows as they are; moved ones have 1", value: "X" },
  batch_size: { type: "number.integer >= 1", default: 64, help: "rows of a step, each in both forms", value: "N" },
  steps: { type: "number.integer >= 1", help: "steps; or --epochs", value: "N" },
  epochs: { type: "number > 0", help: "passes over the rows; 3 when neither is given", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "rate of AdamW, constant", value: "RATE" },
  ...PGD,
} as const satisfies Options;
