/** Options of `align`, besides those of a method. */

import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { DATA, OPTIMIZATION, RUN } from "../run/training/options.ts";
import { LOGGED } from "./logged/contract.ts";

const { init: _init, pack: _pack, smoothing: _smoothing, z_loss: _zLoss, ...run } = RUN;

export const ALIGN = {
  ...run,
  data: { ...DATA.data, help: "rows of prompt, chosen and rejected, or of prompts, name=path for each group" },
  eval_data: {
    ...DATA.eval_data,
    help: "held-out rows: pairs or answers as the method learns from; of rewards and decisions, texts or completions",
  },
  lr: { ...OPTIMIZATION.lr, default: 1e-5 },
  pair_loss: {
    type: "string[]",
    kind: "pair-loss",
    help: "form of the loss of --method dpo, or of --pair-weight; several, separated by commas, add up",
  },
  pair_loss_weights: {
    type: "number[]",
    needs: "pair_loss",
    help: "weight of each form of --pair-loss; 1 when left out",
    value: "W",
  },
  curriculum: {
    type: "string",
    kind: "prompt-sampler",
    help: "bandit that draws the groups of prompts by the advantages of their answers; by size or --mixture when left out",
  },
  reference: {
    type: "string",
    help: "model that the policy is compared with; the model as it was when left out",
    value: "MODEL",
  },
  reference_cache: {
    type: "string",
    decides: "nothing",
    help: "file for the reference's likelihoods, read where there is one, else written",
    value: "FILE",
  },
} as const satisfies Options;

/** Options of `align tune-thresholds`, which are those of a training and these. */
export const TUNE = {
  ...ALIGN,
  gold: {
    type: "string[]",
    required: true,
    lists: "verifier",
    value: "TERM",
    help: "verifier with a weight that says what answers are truly worth, or a sum of them; none of them trains the policy",
  },
  threshold_steps: {
    type: "number[]",
    value: "X,...",
    help: "how far the second point tried is from --thresholds, for each reward; 0.1 each when left out",
  },
  threshold_patience: {
    type: "number.integer >= 1",
    default: 20,
    value: "N",
    help: "most rollouts for which rewards are led to a point of thresholds",
  },
  threshold_window: {
    type: "number.integer >= 1",
    default: 3,
    value: "N",
    help: "rollouts whose mean says where the policy is, and what it is worth there",
  },
  threshold_near: {
    type: "number > 0",
    default: 0.02,
    value: "X",
    help: "how near a reward is to a threshold that it has reached; points as near as that are tried once",
  },
} as const satisfies Options;

const FITTED = {
  logged_weights: LOGGED.logged_weights,
  value_folds: LOGGED.value_folds,
  value_ridge: LOGGED.value_ridge,
} as const;

/** Options of `align estimate`. */
export const ESTIMATE = {
  data: { ...DATA.data, help: "rows of x, label, propensity and reward, name=path for each group" },
  columns: READING.columns,
  batch_size: { ...DATA.batch_size, default: 256, decides: "nothing", help: "contexts that are run at once" },
  clip_weights: { type: "number > 0", default: 100, help: "largest weight of a row", value: "C" },
  ...FITTED,
} as const satisfies Options;

/** Options of `align prepare`. */
export const PREPARE = {
  outcome: { type: "string", default: "reward", help: "column that holds what became of a text", value: "NAME" },
  deconfound: {
    type: "string[]",
    help: "columns, numbers or names, whose part of the outcome is taken off",
    value: "NAME",
  },
  to: {
    type: "'rewards' | 'pairs'",
    default: "rewards",
    help: "rows with a reward, or the best and the worst of a prompt",
  },
  least: {
    type: "number >= 0",
    default: 0,
    with: { to: "pairs" },
    help: "how far apart two texts of a pair are",
    value: "X",
  },
  folds: { type: "number.integer >= 1", default: 5, help: "folds of cross-fitting; 1: all rows at once", value: "K" },
  ridge: { type: "number > 0", default: 1, help: "penalty of the fit", value: "X" },
  words: { type: "number.integer >= 0", default: 500, help: "most frequent words that are told apart", value: "N" },
} as const satisfies Options;
