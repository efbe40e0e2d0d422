/** OLMo 2: norms after the halves of a block alone, RMSNorm over all heads of q and k. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE, NORMS_AFTER, QK_NORM } from "../block-names.ts";

export const olmo2: GgufArchitecture = {
  name: "olmo2",
  type: "olmo2",
  class: "Olmo2ForCausalLM",
  block: { ...NORMS_AFTER, ...ATTENTION, ...QK_NORM, ...DENSE },
  defaults: { eps: 1e-5 },
};
