/** Options of `train align-spaces`. */
import type { Options } from "../../method/options.ts";

export const SPACES = {
  data: { type: "string", required: true, help: 'rows of paired vectors: {"a": [...], "b": [...]}', value: "FILE" },
  held_share: { type: "0 <= number < 1", default: 0.2, help: "share of the rows that only measure", value: "F" },
  experts: { type: "number.integer >= 1", default: 4, help: "experts that both directions share", value: "E" },
  top_k: { type: "number.integer >= 1", default: 2, help: "experts of a row, at most --experts", value: "K" },
  hidden: {
    type: "number.integer >= 0",
    default: 128,
    help: "hidden units of an expert; 0: experts are matrices",
    value: "N",
  },
  directions: {
    type: "'both' | 'a-to-b' | 'b-to-a'",
    default: "both",
    help: "both take turns, or one alone",
    value: "NAME",
  },
  loss: { type: "'cosine' | 'infonce'", default: "cosine", help: "1 - cosine + squares, or InfoNCE", value: "NAME" },
  tau: { type: "number > 0", default: 0.07, needs: "loss", help: "temperature of InfoNCE", value: "T" },
  balance: { type: "number >= 0", default: 0.01, help: "weight of the term that loads experts alike", value: "W" },
  steps: {
    type: "number.integer >= 0",
    default: 2000,
    help: "updates, of all directions; 0: measure only",
    value: "N",
  },
  batch_size: { type: "number.integer >= 1", default: 64, help: "pairs of an update", value: "N" },
  lr: { type: "number > 0", default: 1e-4, help: "rate of Adam", value: "RATE" },
  map: {
    type: "string",
    help: "where all rows go, with a_to_b and b_to_a: their vectors in the other space",
    value: "FILE",
  },
} as const satisfies Options;
