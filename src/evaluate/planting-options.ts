/** Options of `evaluate planted` and `evaluate interactions`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";

const COMMON = {
  plant: {
    type: "string",
    required: true,
    help: "experiments, a line each, as train --plant takes them",
    value: "FILE",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  ...READING,
} as const satisfies Options;

export const PLANTED = {
  ...COMMON,
  shuffles: { type: "number.integer >= 1", default: 2000, help: "shuffles of planted and control rows", value: "N" },
} as const satisfies Options;

export const INTERACTIONS = {
  ...COMMON,
  data: { type: "string[]", required: true, help: "rows that training goes on with", value: "FILE" },
  steps: { type: "number.integer >= 1", default: 50, help: "steps of each training", value: "N" },
  seeds: { type: "number.integer >= 2", default: 3, help: "trainings of each kind, which differ by seed", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "learning rate, of AdamW", value: "RATE" },
} as const satisfies Options;
