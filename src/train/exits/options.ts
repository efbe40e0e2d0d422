/** Options of `train exits`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { HELD } from "../../run/held-options.ts";

export const EXITS = {
  data: { type: "string[]", required: true, help: "rows that the classifier reads, with labels", value: "FILE" },
  eval_data: {
    type: "string[]",
    help: "rows that end the warm-up and weigh the gates; a tenth of --data when left out",
    value: "FILE",
  },
  at: { type: "number.integer >= 1[]", required: true, help: "layers, from 1, after which rows may leave", value: "L" },
  lambda: {
    type: "number >= 0[]",
    default: [0.7],
    help: "weight of the cost beside the loss; several make a set of exits each, for a curve",
    value: "W",
  },
  epochs: {
    type: "number.integer >= 1",
    default: 10,
    help: "passes over the rows, heads and gates in turns",
    value: "N",
  },
  warm_up: { type: "number.integer >= 1", default: 6, help: "most passes of the heads alone before", value: "N" },
  patience: { type: "number.integer >= 1", default: 2, help: "passes without a better loss that end them", value: "N" },
  turn: { type: "number.integer >= 1", default: 200, help: "batches until gates and heads change turns", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" },
  lr: { type: "number > 0", default: 0.01, help: "learning rate", value: "RATE" },
  end_lr: { type: "number >= 0", default: 2e-4, help: "rate at the end, by half a cosine", value: "RATE" },
  weight_decay: { type: "number >= 0", default: 5e-4, help: "of heads and gates", value: "D" },
  columns: READING.columns,
  max_length: READING.max_length,
  dtype: HELD.dtype,
} as const satisfies Options;
