/** Qwen2 and 2.5: Llama with biases on q, k and v. https://arxiv.org/abs/2407.10671 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { qwenWindows } from "../blocks/qwen.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "qwen2",
  title: "Qwen2",
  about: "Llama with biases on q, k and v: Qwen2 and 2.5",
  cite: "arXiv:2407.10671",
  options: {},
  className: "Qwen2ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    return decoderConfig(json, where, {
      bias: { qkv: true, o: false, mlp: false },
      tied: false,
      ...qwenWindows(c),
    });
  },
};
