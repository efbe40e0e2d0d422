/** Mixtral: a llama with experts in its files. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, expertNames, NORMS_BEFORE } from "../block-names.ts";
import { wholeOf } from "../write/config.ts";
import { llama } from "./llama.ts";

export const mixtral: GgufArchitecture = {
  ...llama,
  type: "mixtral",
  class: "MixtralForCausalLM",
  block: { ...NORMS_BEFORE, ...ATTENTION, ...expertNames("block_sparse_moe", "w1", "w3", "w2") },
  biases: [],
  biasKeys: {},
  defaults: { theta: 1e6, eps: 1e-5 },
  experts: "num_local_experts",
  claims: (keys) => (keys.number("expert_count") ?? 0) > 0,

  write(config, put) {
    put.u32("expert_used_count", wholeOf({ num_experts_per_tok: 2, ...config }, "num_experts_per_tok"));
  },

  read: (keys) => ({ num_experts_per_tok: keys.required("expert_used_count"), sliding_window: null }),
};
