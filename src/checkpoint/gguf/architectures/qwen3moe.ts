/** Qwen3-MoE: Qwen3 with experts, whose weights llama.cpp makes sum to one. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, expertNames, NORMS_BEFORE, QK_NORM } from "../block-names.ts";
import { expectValue, wholeOf } from "../write/config.ts";
import { expectSparse } from "../write/experts.ts";

export const qwen3moe: GgufArchitecture = {
  name: "qwen3moe",
  type: "qwen3_moe",
  class: "Qwen3MoeForCausalLM",
  block: { ...NORMS_BEFORE, ...ATTENTION, ...QK_NORM, ...expertNames("mlp") },
  experts: "num_experts",

  write(config, put) {
    expectValue(config, "norm_topk_prob", true);
    expectSparse(config);
    put.u32("expert_used_count", wholeOf(config, "num_experts_per_tok"));
    put.u32("expert_feed_forward_length", wholeOf(config, "moe_intermediate_size"));
  },

  read: (keys) => ({
    num_experts_per_tok: keys.required("expert_used_count"),
    moe_intermediate_size: keys.required("expert_feed_forward_length"),
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  }),
};
