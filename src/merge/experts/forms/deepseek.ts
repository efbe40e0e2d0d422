/**
 * DeepSeek-MoE, the layout of DeepSeek-MoE 16B: Llama with k of E experts, and perhaps one beside them that all tokens
 * pass through, without a gate. https://arxiv.org/abs/2401.06066
 *
 * transformers has no class of it: config.json names the code that the model's authors publish, as theirs does.
 */
import { type ExpertForm, mixturePlace } from "../form.ts";

const CODE = "deepseek-ai/deepseek-moe-16b-base--";

export const form: ExpertForm = {
  name: "deepseek",
  title: "DeepSeek-MoE",
  from: ["llama", "mistral"],
  shared: { least: 0, most: 1, gated: false },
  place: mixturePlace,
  countKey: "n_routed_experts",
  dense: () => ({ type: "llama", className: "LlamaForCausalLM" }),
  keys: ({ experts, perToken, inner, sharedInner }) => ({
    architectures: ["DeepseekForCausalLM"],
    model_type: "deepseek",
    auto_map: {
      AutoConfig: `${CODE}configuration_deepseek.DeepseekConfig`,
      AutoModel: `${CODE}modeling_deepseek.DeepseekModel`,
      AutoModelForCausalLM: `${CODE}modeling_deepseek.DeepseekForCausalLM`,
    },
    n_routed_experts: experts,
    n_shared_experts: sharedInner > 0 ? 1 : null,
    num_experts_per_tok: perToken,
    moe_intermediate_size: inner,
    norm_topk_prob: true,
    scoring_func: "softmax",
    moe_layer_freq: 1,
    first_k_dense_replace: 0,
    aux_loss_alpha: 0.001,
    seq_aux: true,
    sliding_window: undefined,
  }),
  refuses: (base) =>
    base.model_type === "mistral" && base.sliding_window !== null
      ? {
          message: "sees a window of tokens only (sliding_window), and DeepSeek-MoE sees all",
          hint: "build a Mixtral of a Mistral",
        }
      : undefined,
};
