/** Options of `train` for models that are trained to be made narrower or shallower. */
import type { Options } from "../../method/options.ts";

const DEPS = { supernet: "deps" } as const;
const CIKD = { supernet: "cikd" } as const;

export const SUPERNET = {
  supernet: {
    type: "'deps' | 'cikd'",
    help: "train smaller models inside of the model along, for compress extract: of all blocks, or of a classifier of several tasks",
  },
  widths: {
    type: "number[]",
    needs: "supernet",
    help: "shares of heads and hidden units that the smaller models have, the first ones; 1,0.75,0.5 when left out",
    value: "F,F",
  },
  depths: {
    type: "number[]",
    with: DEPS,
    help: "numbers of blocks that they have, the first ones; all when left out",
    value: "N,N",
  },
  supernet_warmup: {
    type: "0 <= number <= 1",
    default: 0.5,
    with: DEPS,
    help: "share of the steps in which the whole model is trained alone",
    value: "F",
  },
  supernet_begin: {
    type: "number >= 0",
    default: 1e-4,
    with: DEPS,
    help: "weight of what smaller models learn after that, which rises in a line",
    value: "X",
  },
  supernet_weight: { type: "number >= 0", default: 1, with: DEPS, help: "weight that it rises to", value: "X" },
  supernet_ramp: {
    type: "0 < number <= 1",
    default: 0.1,
    with: DEPS,
    help: "share of the steps that are left in which it rises",
    value: "F",
  },
  supernet_nets: {
    type: "number.integer >= 1",
    default: 3,
    with: DEPS,
    help: "smaller models of a step: the smallest, and others by chance",
    value: "N",
  },
  supernet_invariance: {
    type: "number >= 0",
    default: 0.1,
    with: CIKD,
    help: "weight of how far the features of a narrow trunk are from those of the whole one",
    value: "X",
  },
  supernet_settings: {
    type: "number.integer >= 1",
    default: 8,
    with: CIKD,
    help: "settings of widths that are drawn once, of which each step has one beside the widest and the narrowest",
    value: "N",
  },
} as const satisfies Options;

const PRUNE = { prune: "polarize" } as const;

export const PRUNING = {
  prune: {
    type: "'polarize'",
    help: "learn which units may go, by gates that are to agree on all rows; the result is the smaller model",
  },
  prune_unit: {
    type: "'layer' | 'head' | 'ffn'",
    default: "ffn",
    with: PRUNE,
    help: "what has a gate: whole blocks, heads, or hidden units of feed-forward networks and perceptrons",
  },
  prune_keep: {
    type: "0 < number <= 1",
    default: 0.5,
    with: PRUNE,
    help: "share of the weights of such units that is to stay",
    value: "F",
  },
  prune_polarize: {
    type: "number >= 0",
    default: 2,
    with: PRUNE,
    help: "weight of how far gates disagree between rows; it rises over the first fifth of the steps",
    value: "X",
  },
  prune_budget: {
    type: "number >= 0",
    default: 10,
    with: PRUNE,
    help: "weight of the squared distance from --prune-keep",
    value: "X",
  },
} as const satisfies Options;

const FTWT = { dynamic_width: "ftwt" } as const;

export const DYNAMIC = {
  dynamic_width: {
    type: "'ftwt'",
    help: "train predictors of which hidden units of an mlp or a vit fire, so that each input computes those alone",
  },
  mass: {
    type: "number <= 1",
    default: 0.92,
    with: FTWT,
    help: "share of a layer's response that the units hold which are to be computed; below 0: all of them",
    value: "R",
  },
  dynamic_until: {
    type: "0 <= number <= 1",
    default: 0.5,
    with: FTWT,
    help: "share of the steps after which predictors stay as they are",
    value: "F",
  },
} as const satisfies Options;

const DUO = { ffn: "duo" } as const;

export const TWO_SIZES = {
  ffn: {
    type: "'duo'",
    help: "give a llama a small feed-forward network beside each big one, and train with either or none, drawn for every layer and batch",
  },
  ffn_small: {
    type: "number.integer >= 1",
    with: DUO,
    help: "hidden units of the small ones; an eighth of the big ones' when left out",
    value: "N",
  },
  ffn_skip: {
    type: "0 <= number < 1",
    default: 0.1,
    with: DUO,
    help: "how likely a layer takes neither of both",
    value: "P",
  },
} as const satisfies Options;
