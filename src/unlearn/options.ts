/** Options of `unlearn` and its sub-command, besides those of a method. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { LABEL_LOSS } from "../run/training/label-loss.ts";
import { DATA, OPTIMIZATION, RUN, TRAINED } from "../run/training/options.ts";
import { MEASURE } from "./importance-options.ts";

const { init: _init, data: _data, mixture: _mixture, pack: _pack, smoothing: _smoothing, z_loss: _zLoss, ...run } = RUN;

const RETAIN = { type: "string[]", help: "rows to keep", value: "FILE" } as const;

export const UNLEARN = {
  ...run,
  lr: { ...OPTIMIZATION.lr, default: 1e-4 },
  schedule: { ...OPTIMIZATION.schedule, default: "constant" },
  eval_split: {
    ...DATA.eval_split,
    needs: "retain",
    help: "instead of --eval-data, the share of the rows of every group of --retain that is held out",
  },
  forget: { type: "string[]", help: "rows to forget, name=path for each group", value: "FILE" },
  retain: RETAIN,
  forget_weight: {
    type: "number >= 0",
    help: "gamma, weight of the forget term; each method's own when left out",
    value: "W",
  },
  retain_weight: { type: "number >= 0", help: "alpha, weight of the retain term", value: "W" },
  term_weights: {
    type: "'given' | 'pareto'",
    default: "given",
    help: "how forget and retain gradients count: as they are, or weighed in every step so that neither loss goes up",
  },
  retain_loss: {
    type: "'nll' | 'kl' | 'none'",
    help: "retain term: cross-entropy, or KL to the model as it was; each method's own when left out",
  },
  original: {
    type: "string",
    help: "model that is meant by the model as it was, where distributions or states are compared with it; the one that is trained when left out",
    value: "MODEL",
  },
  anchor: {
    type: "'forget' | 'retain'",
    default: "forget",
    help: "whose rows make an epoch; the others are drawn at random beside them",
  },
  skip_tokens: {
    type: "number.integer >= 0",
    help: "tokens at the start of an answer that need not be forgotten",
    value: "N",
  },
  pd: {
    type: "string",
    help: "rows of the same prompts in harmless contexts, to be answered as before",
    value: "FILE",
  },
  pd_weight: { type: "number >= 0", needs: "pd", help: "weight of their cross-entropy; 0.5 when left out", value: "W" },
  loss: { ...LABEL_LOSS.loss, help: "the loss of the rows to keep, and of --pd" },
  best_by: {
    type: "'loss' | 'forget-utility'",
    default: "loss",
    help: "what --best keeps: the least held-out loss, or the largest share forgotten times probability of the rest, of --eval-data forget=FILE and others",
  },
  smooth: { type: "string", kind: "smoothing", help: "flatten the forget loss against relearning" },
} as const satisfies Options;

/** Options of `unlearn importance`. */
export const IMPORTANCE = {
  retain: { ...RETAIN, help: "all rows, those to forget among them" },
  method: { type: "'ssd'", default: "ssd", help: "the edit that reads the importances", value: "NAME" },
  ...MEASURE,
  ...READING,
  batch_size: DATA.batch_size,
  dtype: TRAINED.dtype,
  freeze: TRAINED.freeze,
  train_only: TRAINED.train_only,
} as const satisfies Options;
