/** Options of `distill fedd2s`. */
import type { Options } from "../../method/options.ts";
import { DATA, OPTIMIZATION } from "../../run/training/options.ts";

export const FEDD2S = {
  init: { type: "string", help: "config.json of the network that all clients begin with", value: "CONFIG" },
  data: { ...DATA.data, help: "the rows of a client, named: a=a.jsonl. Once for each" },
  columns: DATA.columns,
  rounds: { type: "number.integer >= 1", default: 10, help: "rounds of learning and telling", value: "R" },
  round_steps: { type: "number.integer >= 1", default: 20, help: "steps of each client in a round", value: "N" },
  drop_rate: {
    type: "number >= 0",
    help: "taps that leave in a round, the deepest first; when left out, half are gone in the middle. 0: none",
    value: "RHO",
  },
  tap_weight: {
    type: "number >= 0",
    default: 1,
    help: "weight of what the others said at each tap; 0: each learns alone",
    value: "W",
  },
  optimizer: { type: "string", kind: "optimizer", default: "adamw", help: "update rule of every client" },
  lr: OPTIMIZATION.lr,
  batch_size: DATA.batch_size,
} as const satisfies Options;
