/** Qwen3-MoE: Qwen3 with k of E experts. https://arxiv.org/abs/2505.09388 */
import { type ExpertForm, mixturePlace } from "../form.ts";

export const form: ExpertForm = {
  name: "qwen3_moe",
  title: "Qwen3-MoE",
  from: ["qwen3"],
  shared: { least: 0, most: 0, gated: false },
  place: mixturePlace,
  countKey: "num_experts",
  dense: () => ({ type: "qwen3", className: "Qwen3ForCausalLM" }),
  keys: ({ experts, perToken, inner }) => ({
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    num_experts: experts,
    num_experts_per_tok: perToken,
    moe_intermediate_size: inner,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
    output_router_logits: false,
    router_aux_loss_coef: 0.001,
  }),
  refuses: (base) =>
    base.use_sliding_window === true
      ? {
          message: "sees a window of tokens only in some layers (use_sliding_window), and Qwen3-MoE sees all",
          hint: "set use_sliding_window to false in its config.json if its texts are shorter than the window",
        }
      : undefined,
};
