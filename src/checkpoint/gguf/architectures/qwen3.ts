/** Qwen3: Qwen2 without biases, with an RMSNorm on every head of q and k. */
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA, QK_NORM } from "../block-names.ts";

export const qwen3: GgufArchitecture = {
  name: "qwen3",
  type: "qwen3",
  class: "Qwen3ForCausalLM",
  block: { ...LLAMA, ...QK_NORM },
};
