/** Options of `train stages`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const STAGES = {
  init: { type: "string", help: "config.json of a new perceptron, in the place of a model", value: "FILE" },
  columns: READING.columns,
  cache: {
    type: "string",
    decides: "nothing",
    help: "folder that keeps what frozen first layers give for the rows of a stage; computed in every step when left out",
    value: "DIR",
  },
  optimizer: { type: "string", kind: "optimizer", default: "adamw", help: "update rule, begun anew in every stage" },
  lr: { type: "number > 0", default: 1e-3, help: "rate of stages that name none; constant", value: "RATE" },
  steps: {
    type: "number.integer >= 1",
    help: "steps of stages that name none; one pass over the rows when left out",
    value: "N",
  },
  batch_size: { type: "number.integer >= 1", default: 8, help: "rows of a step of stages that name none", value: "N" },
} as const satisfies Options;
