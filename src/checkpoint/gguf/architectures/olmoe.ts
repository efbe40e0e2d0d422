/** OLMoE: experts whose weights keep their share of the whole, RMSNorm over all heads of q and k. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, expertNames, NORMS_BEFORE, QK_NORM } from "../block-names.ts";
import { expectValue, wholeOf } from "../write/config.ts";

export const olmoe: GgufArchitecture = {
  name: "olmoe",
  type: "olmoe",
  class: "OlmoeForCausalLM",
  block: { ...NORMS_BEFORE, ...ATTENTION, ...QK_NORM, ...expertNames("mlp") },
  defaults: { eps: 1e-5 },
  experts: "num_experts",

  write(config, put) {
    expectValue(config, "norm_topk_prob", false);
    expectValue(config, "clip_qkv");
    put.u32("expert_used_count", wholeOf({ num_experts_per_tok: 8, ...config }, "num_experts_per_tok"));
  },

  read: (keys) => ({ num_experts_per_tok: keys.required("expert_used_count"), norm_topk_prob: false }),
};
