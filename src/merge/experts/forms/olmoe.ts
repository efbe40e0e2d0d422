/**
 * OLMoE: k of E experts, RMSNorm over all heads of q and k. https://arxiv.org/abs/2409.02060
 *
 * No dense model that is published has these norms before its blocks' halves (OLMo 2 has them after). What fits is an
 * OLMoE of one expert, which is a dense model in this layout.
 */
import { type ExpertForm, mixturePlace } from "../form.ts";

export const form: ExpertForm = {
  name: "olmoe",
  title: "OLMoE",
  from: ["olmoe"],
  shared: { least: 0, most: 0, gated: false },
  place: mixturePlace,
  countKey: "num_experts",
  dense: () => ({ type: "olmoe", className: "OlmoeForCausalLM" }),
  keys: ({ experts, perToken, inner }) => ({
    architectures: ["OlmoeForCausalLM"],
    model_type: "olmoe",
    intermediate_size: inner,
    num_experts: experts,
    num_experts_per_tok: perToken,
    norm_topk_prob: true,
    output_router_logits: false,
    router_aux_loss_coef: 0.01,
  }),
  refuses: ({ num_experts: experts }) =>
    experts === 1
      ? undefined
      : {
          message: `has ${String(experts ?? 64)} experts already`,
          hint: "a dense model is made of it by: bun run merge dense MODEL -o out/",
        },
};
