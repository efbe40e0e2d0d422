/** Mixtral: Llama or Mistral with k of E experts. https://arxiv.org/abs/2401.04088 */
import { type ExpertForm, mixturePlace } from "../form.ts";

export const form: ExpertForm = {
  name: "mixtral",
  title: "Mixtral",
  from: ["llama", "mistral"],
  shared: { least: 0, most: 0, gated: false },
  place: mixturePlace,
  countKey: "num_local_experts",
  dense: ({ sliding_window: window }) =>
    typeof window === "number"
      ? { type: "mistral", className: "MistralForCausalLM" }
      : { type: "llama", className: "LlamaForCausalLM" },
  keys: ({ experts, perToken, inner }) => ({
    architectures: ["MixtralForCausalLM"],
    model_type: "mixtral",
    intermediate_size: inner,
    num_local_experts: experts,
    num_experts_per_tok: perToken,
    output_router_logits: false,
    router_aux_loss_coef: 0.001,
  }),
};
