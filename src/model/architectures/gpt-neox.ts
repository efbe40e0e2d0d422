/**
 * GPT-NeoX (GPT-NeoX-20B, Pythia, Dolly 2, RedPajama-INCITE): LayerNorm with biases, rotary positions in a part of
 * every head, q, k and v of each head in turn in one matrix, and attention beside the feed-forward network.
 * https://arxiv.org/abs/2204.06745, https://arxiv.org/abs/2304.01373
 */
import { gelu } from "../../tensor/ops/activation.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { rope } from "../../tensor/ops/rope.ts";
import type { RopeTables } from "../../tensor/ops/rope-scaling.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Net, ParameterSpec, TokenInputs } from "../architecture.ts";
import { linearSpecs } from "../blocks/decoder.ts";
import { layerNormSpecs, normed } from "../blocks/layer-norm.ts";
import { rotary, turningShare } from "../blocks/rotary.ts";
import { ConfigReader, expectHead } from "../config.ts";

/** What is turned of a head where the config does not say, and the keys that say it. */
const TURNING = { partial: 0.25, older: { theta: "rotary_emb_base", partial: "rotary_pct" } } as const;

/** Forms of GELU by their names: the one of erf, and three names of the one of tanh. */
const GELUS = ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"] as const;

export interface GptNeoxConfig {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly eps: number;
  readonly std: number;
  readonly tied: boolean;
  readonly activation: (typeof GELUS)[number];
  /** Of attention's linear layers. */
  readonly attentionBias: boolean;
  /** Attention and feed-forward network both read what goes into the block. */
  readonly parallel: boolean;
  readonly rope: RopeTables;
  /** Share of a head that turns. */
  readonly share: number;
}

/** q, k, v, each (N, H D), of fused columns, (N, H 3 D). */
function queriesKeysValues(net: Net, c: GptNeoxConfig, fused: Tensor, rows: number): Tensor[] {
  const perHead = net.rec.reshape(fused, [rows * c.heads, 3 * c.headDim]); // (N H, 3 D)
  const parts = splitColumns(net.rec, perHead, [c.headDim, c.headDim, c.headDim]);
  return parts.map((part) => net.rec.reshape(part, [rows, c.width]));
}

/** add + dense(attention(q, k, v)) of h. (N, C) -> (N, C) */
function attention(net: Net, c: GptNeoxConfig, layer: number, inputs: TokenInputs, h: Tensor, add: Tensor): Tensor {
  const at = `gpt_neox.layers.${layer}.attention`;
  const { heads, headDim, rope: tables } = c;
  const length = inputs.cache?.capacity ?? inputs.length + (inputs.ahead ?? 0);
  const turned = (x: Tensor) =>
    rope(net.rec, x, inputs.positions, { heads, headDim, tables, length, rowLength: inputs.length });
  const fused = net.linear(h, `${at}.query_key_value`);
  const [q, k, v] = queriesKeysValues(net, c, fused, inputs.batch * inputs.length);
  const mixed = net.attend(turned(q!), turned(k!), v!, { layer, heads, kvHeads: heads, headDim, causal: true });
  return net.linear(mixed, `${at}.dense`, { add });
}

/** add + 4h_to_h(gelu(h_to_4h(h))). (N, C) -> (N, C) */
function feedForward(net: Net, c: GptNeoxConfig, layer: number, h: Tensor, add: Tensor): Tensor {
  const at = `gpt_neox.layers.${layer}.mlp`;
  const inner = gelu(net.rec, net.linear(h, `${at}.dense_h_to_4h`), { tanh: c.activation !== "gelu" }); // (N, inner)
  return net.linear(inner, `${at}.dense_4h_to_h`, { add });
}

function layerParameters(c: GptNeoxConfig, prefix: string): ParameterSpec[] {
  const linear = (name: string, out: number, into: number, bias: boolean) =>
    linearSpecs(`${prefix}.${name}`, out, into, c.std, bias);
  return [
    ...layerNormSpecs(`${prefix}.input_layernorm`, c.width),
    ...layerNormSpecs(`${prefix}.post_attention_layernorm`, c.width),
    ...linear("attention.query_key_value", 3 * c.width, c.width, c.attentionBias),
    ...linear("attention.dense", c.width, c.width, c.attentionBias),
    ...linear("mlp.dense_h_to_4h", c.inner, c.width, true),
    ...linear("mlp.dense_4h_to_h", c.width, c.inner, true),
  ];
}

export const method: Architecture<GptNeoxConfig> = {
  name: "gpt_neox",
  title: "GPT-NeoX",
  about: "LayerNorm, rotary positions in a part of a head, attention beside the feed-forward network: Pythia, Dolly 2",
  cite: "arXiv:2204.06745",
  options: {},
  className: "GPTNeoXForCausalLM",
  task: "causal-lm",
  basePrefix: "gpt_neox.",
  tokenHead: "classifier",
  ignored: /(^|\.)attention\.((masked_)?bias|rotary_emb\.inv_freq)$|^embed_out\.weight$/,
  tiedHead: (c) =>
    c.tied ? { head: "embed_out.weight", table: "gpt_neox.embed_in.weight", apart: { ...c, tied: false } } : undefined,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const width = c.count("hidden_size");
    const heads = c.count("num_attention_heads");
    const headDim = c.headWidth(width, heads, { width: "hidden_size", heads: "num_attention_heads" });
    expectHead(where, headDim);
    const maxPositions = c.count("max_position_embeddings", 2048);
    return {
      width,
      inner: c.count("intermediate_size", 4 * width),
      layers: c.count("num_hidden_layers"),
      heads,
      headDim,
      vocabulary: c.count("vocab_size"),
      maxPositions,
      eps: c.number("layer_norm_eps", 1e-5, { least: 0 }),
      std: c.number("initializer_range", 0.02, { least: 0 }),
      tied: c.flag("tie_word_embeddings", false),
      activation: c.oneOf("hidden_act", GELUS, "gelu"),
      attentionBias: c.flag("attention_bias", true),
      parallel: c.flag("use_parallel_residual", true),
      rope: rotary(c, { headDim, maxPositions, ...TURNING }),
      share: turningShare(c, { maxPositions, ...TURNING }),
    };
  },

  implied: (c) => ({
    vocab_size: c.vocabulary,
    hidden_size: c.width,
    intermediate_size: c.inner,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    hidden_act: c.activation,
    max_position_embeddings: c.maxPositions,
    initializer_range: c.std,
    layer_norm_eps: c.eps,
    rotary_pct: c.share,
    rotary_emb_base: c.rope.theta,
    attention_bias: c.attentionBias,
    use_parallel_residual: c.parallel,
    tie_word_embeddings: c.tied,
  }),

  sizes: (c) => ({
    ...{ layers: c.layers, width: c.width, outputs: c.vocabulary, maxPositions: c.maxPositions },
    attention: { heads: c.heads, kvHeads: c.heads, headDim: c.width / c.heads },
  }),

  parameters: (c) => [
    { name: "gpt_neox.embed_in.weight", shape: [c.vocabulary, c.width], init: { std: c.std }, table: true },
    ...Array.from({ length: c.layers }, (_, i) => layerParameters(c, `gpt_neox.layers.${i}`)).flat(),
    ...layerNormSpecs("gpt_neox.final_layer_norm", c.width),
    ...(c.tied ? [] : linearSpecs("embed_out", c.vocabulary, c.width, c.std, false)),
  ],

  forward(net, c, inputs) {
    if (!("positions" in inputs)) throw new TypeError("a language model takes token ids");
    const last = net.layers(c.layers, net.embed(inputs.ids, "gpt_neox.embed_in"), (layer, x) => {
      const prefix = `gpt_neox.layers.${layer}`;
      const attended = attention(net, c, layer, inputs, normed(net, c, `${prefix}.input_layernorm`, x), x);
      const middle = net.note(`middle.${layer}`, attended);
      const read = normed(net, c, `${prefix}.post_attention_layernorm`, c.parallel ? x : middle);
      return feedForward(net, c, layer, read, middle);
    });
    return normed(net, c, "gpt_neox.final_layer_norm", last);
  },

  head: (net, c, hidden) =>
    c.tied ? net.project(hidden, "gpt_neox.embed_in.weight") : net.linear(hidden, "embed_out"),
};
