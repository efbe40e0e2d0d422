/** Options of streams at test time, wherever one is run. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const TEST_TIME = {
  source: {
    type: "string[]",
    help: "labelled rows that the model was trained on, name=path for each group: for prototypes, importances, warm-up, replay",
    value: "FILE",
  },
  batch_size: {
    type: "number.integer >= 1",
    default: 64,
    help: "rows that are answered together, and then learnt from",
    value: "N",
  },
  lr: { type: "number >= 0", help: "learning rate; the method's own when left out", value: "RATE" },
  optimizer: { type: "'adam' | 'sgd'", default: "adam", help: "update rule, without weight decay" },
  episodic: {
    type: "'none' | 'batch' | 'domain'",
    default: "none",
    help: "come back to the source model before every batch, or before every domain",
  },
  augment: {
    type: "'auto' | 'image' | 'noise' | 'tokens' | 'none'",
    default: "auto",
    help: "other views of rows; auto: images small moves, vectors noise, texts tokens left out",
  },
  augment_strength: {
    type: "0 <= number < 1",
    default: 0.1,
    help: "of noise, in deviations of a row's numbers; share of the tokens that a view lacks",
    value: "S",
  },
  shape: {
    type: "number[]",
    value: "C,H,W",
    help: "channels, height and width where the model takes images as vectors",
  },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  max_length: READING.max_length,
} as const satisfies Options;
