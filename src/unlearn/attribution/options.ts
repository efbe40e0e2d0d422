/** Options of `unlearn attribute` and `unlearn dm-direct`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const ATTRIBUTE = {
  data: { type: "string[]", required: true, help: "all rows that the classifier was trained on", value: "FILE" },
  attribution: {
    type: "'datamodel' | 'trak' | 'ridge' | 'oracle'",
    default: "datamodel",
    help: "how outputs without rows are foretold: a regression on models of random halves; gradients; the head's exact fit without them; models that are trained without them",
  },
  forget: {
    type: "string[]",
    help: "rows to forget, among --data, for ridge and oracle; the others foretell any",
    value: "FILE",
  },
  points: { type: "string[]", help: "further rows whose outputs are foretold", value: "FILE" },
  effects: {
    type: "string",
    help: "what attribute wrote for another model of the same form and rows: its effects, with this model's outputs",
    value: "FILE",
  },
  models: {
    type: "number.integer >= 1",
    help: "models that are trained, 100; oracle takes the mean of what they say. Of trak 5, the model itself and others",
    value: "K",
  },
  share: { type: "0 < number < 1", default: 0.5, help: "share of the blocks that each is trained on", value: "F" },
  block: {
    type: "number.integer >= 1",
    default: 1,
    help: "rows that are in or out together, next to each other in a file of --data; larger ones need fewer models",
    value: "N",
  },
  ridge: {
    type: "number > 0",
    default: 1,
    help: "penalty of the regression, of gradients too; of the head's fit that of its own, where train analytic fitted it",
    value: "LAMBDA",
  },
  projection: {
    type: "number.integer >= 1",
    default: 512,
    help: "of trak, numbers of a gradient: a power of two from 64 to 16384",
    value: "K",
  },
  epochs: { type: "number.integer >= 1", default: 10, help: "passes over its rows that train a model", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 64, help: "rows of a step", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "learning rate of AdamW, the same at every step", value: "RATE" },
  parts: {
    type: "string",
    decides: "nothing",
    help: "folder that keeps what models say: an interrupted command that is given again trains the others alone",
    value: "DIR",
  },
  columns: READING.columns,
} as const satisfies Options;

export const DM_DIRECT = {
  forget: { type: "string[]", required: true, help: "rows to forget", value: "FILE" },
  data: { type: "string[]", required: true, help: "rows to answer, among those that were foretold", value: "FILE" },
  columns: READING.columns,
} as const satisfies Options;
