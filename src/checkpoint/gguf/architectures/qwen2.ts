/** Qwen2: Llama with biases of q, k and v, and rows in transformers' order. */
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA, QKV } from "../block-names.ts";

export const qwen2: GgufArchitecture = {
  name: "qwen2",
  type: "qwen2",
  class: "Qwen2ForCausalLM",
  block: LLAMA,
  biases: QKV,
  needs: QKV,
};
