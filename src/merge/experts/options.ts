/** Options of the sub-commands that make and unmake mixtures of experts. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { HELD } from "../../run/held-options.ts";
import { WRITING } from "../options.ts";

const DTYPE = {
  type: "string",
  value: "DTYPE",
  help: "type of the output: float32, float16, bfloat16; each tensor's own when left out",
} as const;

const CALIB = {
  type: "string[]",
  value: "FILE",
  help: "rows that the model reads to be measured, name=path for each group",
} as const;

const ROWS = {
  type: "number.integer >= 1",
  default: 8,
  decides: "nothing",
  value: "N",
  help: "rows run at once",
} as const;

const { turns: _turns, ...READ } = READING;

/** `merge moe`. */
export const MOE = {
  experts: {
    type: "number.integer >= 1",
    value: "E",
    help: "make so many experts of one model's feed-forward networks",
  },
  experts_per_token: { type: "number.integer >= 1", value: "K", help: "experts of every token; 2 when left out" },
  gate_mode: {
    type: "'random' | 'uniform_random' | 'small_random' | 'centroid'",
    spelling: (text: string) => text.replaceAll("-", "_"),
    help: "rows of routers: N(0, 1), U(-1/sqrt(C), 1/sqrt(C)), N(0, 0.02), or clusters of --calib; small_random when left out. Modes with prompts need a recipe",
  },
  gate_input: {
    type: "'ffn' | 'residual'",
    default: "ffn",
    help: "states that rows are made of: what the router will read, or as mergekit the stream that enters the layer",
  },
  noise: { type: "number >= 0", value: "S", help: "standard deviation of noise on every expert's matrices" },
  residual_scale: { type: "number", value: "X", help: "multiplies the last matrix of every routed expert" },
  shared: { type: "string", value: "MODEL", help: "model whose feed-forward networks all tokens pass through" },
  architecture: {
    type: "string",
    value: "NAME",
    help: "layout of the result: mixtral, qwen2_moe, qwen3_moe, deepseek, olmoe; the first that fits when left out",
  },
  calib: { ...CALIB, help: "rows whose states are clustered, for --gate-mode centroid" },
  calib_tokens: {
    type: "number.integer >= 1",
    default: 4096,
    value: "N",
    help: "most tokens of --calib that are clustered",
  },
  dtype: DTYPE,
  allow_identical: {
    type: "boolean",
    was: ["i_understand_this_is_not_useful_without_training"],
    help: "take experts that are equal, and prompts that are",
  },
  batch_size: ROWS,
  offload: HELD.offload,
  ...READ,
  ...WRITING,
} as const satisfies Options;

/** `merge msmoe`. */
export const MSMOE = {
  groups: {
    type: "number.integer >= 1",
    value: "G",
    help: "experts of every layer of the result; a quarter of the model's when left out",
  },
  calib: { ...CALIB, required: true, help: "rows on which the use of experts is measured, name=path for each group" },
  similarity: {
    type: "'router-logits' | 'router-rows' | 'random'",
    default: "router-logits",
    help: "what experts of a group have in common; random: nothing, to compare with",
  },
  weights: {
    type: "'usage' | 'equal'",
    default: "usage",
    help: "how much each expert of a group counts: its share of the tokens, or as much as the others",
  },
  align: { type: "boolean", default: true, help: "put the neurons of a group's experts in the order of the leader's" },
  experts_per_token: {
    type: "number.integer >= 1",
    value: "K",
    help: "experts of every token of the result; the model's, or all, when left out",
  },
  batch_size: ROWS,
  offload: HELD.offload,
  ...READ,
  ...WRITING,
} as const satisfies Options;

/** `merge dense`. */
export const DENSE = {
  take: {
    type: "'average' | 'usage' | 'most-used'",
    default: "average",
    help: "of every layer's experts: the mean, the mean by their use on --calib, or the one used most there",
  },
  align: {
    type: "boolean",
    default: true,
    help: "put the neurons of the experts in one order before they are averaged",
  },
  calib: CALIB,
  batch_size: ROWS,
  offload: HELD.offload,
  ...READ,
  ...WRITING,
} as const satisfies Options;
