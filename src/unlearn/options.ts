/** Options of `unlearn` besides those of a method. */
import type { Options } from "../method/options.ts";
import { OPTIMIZATION, RUN } from "../run/training/options.ts";

const { init: _init, data: _data, weights: _weights, pack: _pack, smoothing: _smoothing, z_loss: _zLoss, ...run } = RUN;

export const UNLEARN = {
  ...run,
  lr: { ...OPTIMIZATION.lr, default: 1e-4 },
  schedule: { ...OPTIMIZATION.schedule, default: "constant" },
  forget: { type: "string[]", help: "rows to forget, name=path for each group", value: "FILE" },
  retain: { type: "string[]", help: "rows to keep", value: "FILE" },
  forget_weight: {
    type: "number >= 0",
    help: "gamma, weight of the forget term; each method's own when left out",
    value: "W",
  },
  retain_weight: { type: "number >= 0", help: "alpha, weight of the retain term", value: "W" },
  retain_loss: {
    type: "'nll' | 'kl' | 'none'",
    help: "retain term: cross-entropy, or KL to the model as it was; each method's own when left out",
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
  answers: {
    type: "'refusal' | 'alternative'",
    help: "dpo: field of a row that holds the wanted answer; refusal when left out, one is drawn for rows without",
  },
  pd: {
    type: "string",
    help: "rows of the same prompts in harmless contexts, to be answered as before",
    value: "FILE",
  },
  pd_weight: { type: "number >= 0", help: "weight of their cross-entropy; 0.5 when left out", value: "W" },
  smooth: { type: "'sam' | 'rs' | 'gp' | 'cr' | 'wa'", help: "flatten the forget loss against relearning" },
  rho: { type: "number >= 0", help: "how far smoothing looks: sam, gp, cr 0.01, rs 0.0001", value: "R" },
  smooth_weight: { type: "number >= 0", help: "gp, cr: weight of the penalty; 10 when left out", value: "C" },
  average_from: { type: "number.integer >= 1", help: "wa: first step that counts; 1 when left out", value: "STEP" },
} as const satisfies Options;
