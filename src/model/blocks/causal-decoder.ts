/**
 * Decoders of the Llama family, all but how config.json is read: blocks of attention and a feed-forward network, which
 * is all that tells them apart.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Json, Net, ParameterSpec } from "../architecture.ts";
import {
  attentionSpecs,
  decoderForward,
  decoderHead,
  decoderParameters,
  gatedMlp,
  type LayerPlace,
  mlpSpecs,
  normSpecs,
  selfAttention,
} from "./decoder.ts";
import { type DecoderConfig, decoderImplied, decoderSizes } from "./decoder-config.ts";

/** The feed-forward network of a block. `prefix` names the block: `model.layers.3`. */
export interface FeedForward<C> {
  readonly specs: (config: C, prefix: string, layer: number) => readonly ParameterSpec[];
  /** (N, C) normalized hidden states to (N, C), with `add` added where it is given. */
  readonly forward: (net: Net, config: C, prefix: string, layer: number, h: Tensor, add?: Tensor) => Tensor;
}

/** The attention of a block. */
export interface BlockAttention<C> {
  readonly specs: (config: C, prefix: string, layer: number) => readonly ParameterSpec[];
  /** (N, C) normalized hidden states to (N, C), with `add` added where it is given. */
  readonly forward: (net: Net, config: C, place: LayerPlace, h: Tensor, add?: Tensor) => Tensor;
}

/** The equations of a decoder whose blocks have this feed-forward network, and attention over heads of one width. */
export const causalDecoder = <C extends DecoderConfig>(
  feedForward: FeedForward<C>,
  {
    implied = decoderImplied,
    attention: other,
  }: { readonly implied?: (config: C) => Json; readonly attention?: BlockAttention<C> } = {},
) => {
  const attention = other ?? { specs: attentionSpecs, forward: selfAttention };
  return {
    task: "causal-lm",
    basePrefix: "model.",
    ignored: /^lm_head\.weight$/,
    tiedHead: (c: C) =>
      c.tied ? { head: "lm_head.weight", table: "model.embed_tokens.weight", apart: { ...c, tied: false } } : undefined,
    sizes: (c: C) => ({
      ...decoderSizes(c),
      ...(other ? {} : { attention: { heads: c.heads, kvHeads: c.kvHeads, headDim: c.headDim } }),
    }),
    implied,

    parameters: (c: C) =>
      decoderParameters(c, (prefix, layer) => [
        ...attention.specs(c, prefix, layer),
        ...feedForward.specs(c, prefix, layer),
        ...normSpecs(c, prefix),
      ]),

    forward: (net, c: C, inputs) =>
      decoderForward(net, c, inputs, {
        attention: (place, h, add) => attention.forward(net, c, place, h, add),
        feedForward: ({ prefix, layer }, h, add) => feedForward.forward(net, c, prefix, layer, h, add),
      }),

    head: decoderHead,
  } as const satisfies Partial<Architecture<C>>;
};

/** A decoder with a gated feed-forward network in every block. */
export const denseDecoder = {
  ...causalDecoder<DecoderConfig>({
    specs: (c, prefix) => mlpSpecs(c, `${prefix}.mlp`),
    forward: (net, c, prefix, _, h, add) => gatedMlp(net, c, `${prefix}.mlp`, h, add),
  }),
  dense: (c: DecoderConfig) => c,
};
