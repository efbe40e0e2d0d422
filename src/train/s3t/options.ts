/** Options of `train s3t`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const S3T = {
  data: { type: "string[]", required: true, help: "rows to learn", value: "FILE" },
  eval_data: {
    type: "string[]",
    help: "held-out rows, by whose loss the best of equally long orders answers",
    value: "FILE",
  },
  shards: {
    type: "number.integer >= 1",
    default: 1,
    help: "parts of the rows that learn apart and answer together",
    value: "M",
  },
  slices: {
    type: "number.integer >= 1",
    help: "parts of a shard's rows, and groups of the model's layers; the number of groups with --slice-by group",
    value: "L",
  },
  budget: {
    type: "number.integer >= 1",
    default: 1,
    help: "orders of the slices that each shard learns in; 1 is SISA",
    value: "B",
  },
  slice_by: {
    type: "'digest' | 'group'",
    default: "digest",
    help: "what says in which slice a row is: a digest of the row, or its group of --data",
  },
  deletion_odds: {
    type: "number >= 0[]",
    help: "how likely the next deletion is of each slice; rotations, for slices that are alike, when left out",
    value: "Q",
  },
  deletions: {
    type: "number > 0",
    default: 100,
    needs: "deletion_odds",
    help: "deletions for which orders are chosen",
    value: "T",
  },
  epochs: { type: "number > 0", default: 15, help: "passes over the rows of each stage", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 64, help: "rows of a step", value: "N" },
  lr: { type: "number > 0", default: 2e-4, help: "learning rate of AdamW, the same at every step", value: "RATE" },
  lora_rank: { type: "number.integer >= 1", default: 16, help: "rank of the adapters", value: "R" },
  lora_alpha: { type: "number > 0", help: "strength, over the root of the rank; the rank when left out", value: "A" },
  lora_dropout: { type: "0 <= number < 1", default: 0.1, help: "dropout of what adapters read", value: "P" },
  lora_targets: {
    type: "string[]",
    help: "layers that are adapted, by name; every linear layer of a block when left out",
    value: "NAME",
  },
  parts: {
    type: "string",
    decides: "nothing",
    help: "folder that keeps what is trained until the bank is written: an interrupted command that is given again goes on there",
    value: "DIR",
  },
  ...READING,
} as const satisfies Options;
