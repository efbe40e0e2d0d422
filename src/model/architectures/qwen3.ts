/**
 * Qwen3: Llama with an RMSNorm on every head of q and k, and its own head size. https://arxiv.org/abs/2505.09388
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, qkNorm } from "../blocks/decoder-config.ts";
import { qwenWindows } from "../blocks/qwen.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "qwen3",
  title: "Qwen3",
  about: "Llama with an RMSNorm on every head of q and k",
  cite: "arXiv:2505.09388",
  options: {},
  className: "Qwen3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      qkNorm: qkNorm("head"),
      tied: false,
      ...qwenWindows(c),
    });
  },
};
