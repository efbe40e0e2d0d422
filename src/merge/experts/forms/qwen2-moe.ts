/** Qwen2-MoE: Qwen2 with k of E experts and a gated one of all tokens. https://arxiv.org/abs/2407.10671 */
import { type ExpertForm, mixturePlace } from "../form.ts";

export const form: ExpertForm = {
  name: "qwen2_moe",
  title: "Qwen2-MoE",
  from: ["llama", "mistral", "qwen2"],
  shared: { least: 1, most: 1, gated: true },
  place: mixturePlace,
  countKey: "num_experts",
  dense: () => ({ type: "qwen2", className: "Qwen2ForCausalLM" }),
  keys: ({ experts, perToken, inner, sharedInner }) => ({
    architectures: ["Qwen2MoeForCausalLM"],
    model_type: "qwen2_moe",
    num_experts: experts,
    num_experts_per_tok: perToken,
    moe_intermediate_size: inner,
    shared_expert_intermediate_size: sharedInner,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
    qkv_bias: true,
    use_sliding_window: false,
    output_router_logits: false,
    router_aux_loss_coef: 0.001,
  }),
  refuses: (base) =>
    base.use_sliding_window === true || (base.model_type === "mistral" && base.sliding_window !== null)
      ? {
          message: "sees a window of tokens only (sliding_window), and Qwen2-MoE sees all",
          hint: "build a Mixtral of a Mistral",
        }
      : undefined,
};
