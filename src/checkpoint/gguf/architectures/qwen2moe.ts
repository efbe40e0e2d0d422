/** Qwen2-MoE: experts whose weights keep their share of the whole, and a shared one behind its own gate. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, expertNames, NORMS_BEFORE, QKV } from "../block-names.ts";
import { expectValue, wholeOf } from "../write/config.ts";
import { expectSparse } from "../write/experts.ts";

export const qwen2moe: GgufArchitecture = {
  name: "qwen2moe",
  type: "qwen2_moe",
  class: "Qwen2MoeForCausalLM",
  block: {
    ...NORMS_BEFORE,
    ...ATTENTION,
    ...expertNames("mlp"),
    ffn_gate_inp_shexp: "mlp.shared_expert_gate",
    ffn_gate_shexp: "mlp.shared_expert.gate_proj",
    ffn_up_shexp: "mlp.shared_expert.up_proj",
    ffn_down_shexp: "mlp.shared_expert.down_proj",
  },
  biases: QKV,
  needs: QKV,
  experts: "num_experts",

  write(config, put) {
    expectSparse(config);
    expectValue(config, "norm_topk_prob", false);
    put.u32("expert_used_count", wholeOf({ num_experts_per_tok: 4, ...config }, "num_experts_per_tok"));
    put.u32("expert_feed_forward_length", wholeOf(config, "moe_intermediate_size"));
    put.u32("expert_shared_feed_forward_length", wholeOf(config, "shared_expert_intermediate_size"));
  },

  read: (keys) => ({
    num_experts_per_tok: keys.required("expert_used_count"),
    moe_intermediate_size: keys.required("expert_feed_forward_length"),
    shared_expert_intermediate_size: keys.required("expert_shared_feed_forward_length"),
    norm_topk_prob: false,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  }),
};
