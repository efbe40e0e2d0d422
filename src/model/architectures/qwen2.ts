/** Qwen2 and 2.5: Llama with biases on q, k and v. https://arxiv.org/abs/2407.10671 */
import type { Architecture } from "../architecture.ts";
import {
  attentionSpecs,
  type DecoderConfig,
  decoderConfig,
  decoderForward,
  decoderHead,
  decoderImplied,
  decoderParameters,
  decoderSizes,
  gatedMlp,
  mlpSpecs,
  normSpec,
} from "../blocks/decoder.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "qwen2",
  title: "Qwen2",
  about: "Llama with biases on q, k and v: Qwen2 and 2.5",
  cite: "arXiv:2407.10671",
  options: {},
  task: "causal-lm",
  sizes: decoderSizes,
  implied: decoderImplied,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("use_sliding_window", false);
    return decoderConfig(json, where, { bias: { qkv: true, o: false, mlp: false }, qkNorm: "none", tied: false });
  },

  parameters: (c) =>
    decoderParameters(c, (prefix) => [
      ...attentionSpecs(c, prefix),
      ...mlpSpecs(c, `${prefix}.mlp`),
      normSpec(c, `${prefix}.input_layernorm.weight`),
      normSpec(c, `${prefix}.post_attention_layernorm.weight`),
    ]),

  forward: (net, c, inputs) =>
    decoderForward(net, c, inputs, (prefix, _, h, add) => gatedMlp(net, `${prefix}.mlp`, h, add)),

  head: decoderHead,
};
