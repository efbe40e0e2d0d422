/**
 * The equations of decoders whose blocks are attention and a gated feed-forward network, all but how config.json is
 * read.
 */
import type { Architecture } from "../architecture.ts";
import {
  attentionSpecs,
  type DecoderConfig,
  decoderForward,
  decoderHead,
  decoderImplied,
  decoderParameters,
  decoderSizes,
  gatedMlp,
  mlpSpecs,
  normSpec,
} from "./decoder.ts";

export const denseDecoder = {
  task: "causal-lm",
  sizes: decoderSizes,
  implied: decoderImplied,

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
} as const satisfies Partial<Architecture<DecoderConfig>>;
