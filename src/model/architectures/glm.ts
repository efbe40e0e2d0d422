/** GLM-4 as of 2024: Llama with neighbours as rotary pairs, half of a head turned, and gate and up in one matrix. */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import type { DecoderConfig } from "../blocks/decoder-config.ts";
import { glmConfig } from "../blocks/glm.ts";

export const method: Architecture<DecoderConfig> = {
  name: "glm",
  title: "GLM",
  about: "Llama with interleaved rotary pairs in half of a head, gate and up in one matrix: GLM-4 of 2024, GLM-Edge",
  cite: "arXiv:2406.12793",
  options: {},
  className: "GlmForCausalLM",
  ...denseDecoder,
  config: (json, where) => glmConfig(json, where, {}),
};
