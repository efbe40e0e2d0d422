/** GPT-2: LayerNorm, learnt positions, fused q, k and v, GELU, weights stored (in, out). Radford et al. 2019. */
import { gelu } from "../../tensor/ops/activation.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import type { Architecture, ParameterSpec } from "../architecture.ts";
import { layerNormSpecs, normed } from "../blocks/layer-norm.ts";
import { evenAttention, headsLeft, type PrunedHeads, prunedHeads, prunedJson } from "../blocks/pruned-heads.ts";
import { ConfigReader, expectHead } from "../config.ts";

export interface Gpt2Config {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly pruned: PrunedHeads;
  readonly vocabulary: number;
  readonly positions: number;
  readonly eps: number;
  readonly std: number;
  readonly tied: boolean;
  /** The tanh form of GELU. */
  readonly tanh: boolean;
}

export const method: Architecture<Gpt2Config> = {
  name: "gpt2",
  title: "GPT-2",
  about: "LayerNorm, learned positions, fused q, k and v, GELU",
  cite: "https://openai.com/index/better-language-models",
  options: {},
  className: "GPT2LMHeadModel",
  task: "causal-lm",
  basePrefix: "transformer.",
  tokenHead: "classifier",
  ignored: /(^|\.)attn\.(masked_)?bias$|^lm_head\.weight$/,
  tiedHead: (c) =>
    c.tied ? { head: "lm_head.weight", table: "transformer.wte.weight", apart: { ...c, tied: false } } : undefined,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const width = c.count("n_embd");
    c.only("scale_attn_weights", true);
    c.only("scale_attn_by_inverse_layer_idx", false);
    const heads = c.count("n_head");
    expectHead(where, c.headWidth(width, heads, { width: "n_embd", heads: "n_head" }));
    const activation = c.oneOf("activation_function", ["gelu_new", "gelu_pytorch_tanh", "gelu"], "gelu_new");
    const layers = c.count("n_layer");
    return {
      width,
      inner: c.count("n_inner", 4 * width),
      layers,
      heads,
      pruned: prunedHeads(c, layers, heads),
      vocabulary: c.count("vocab_size"),
      positions: c.count("n_positions", 1024),
      eps: c.number("layer_norm_epsilon", 1e-5, { least: 0 }),
      std: c.number("initializer_range", 0.02, { least: 0 }),
      tied: c.flag("tie_word_embeddings", true),
      tanh: activation !== "gelu",
    };
  },

  implied: (c) => ({
    vocab_size: c.vocabulary,
    n_positions: c.positions,
    n_embd: c.width,
    n_layer: c.layers,
    n_head: c.heads,
    ...prunedJson(c.pruned),
    n_inner: c.inner,
    activation_function: c.tanh ? "gelu_new" : "gelu",
    layer_norm_epsilon: c.eps,
    initializer_range: c.std,
    tie_word_embeddings: c.tied,
  }),

  sizes: (c) => ({
    ...{ layers: c.layers, width: c.width, outputs: c.vocabulary, maxPositions: c.positions },
    ...evenAttention(c),
  }),

  parameters(c) {
    const residual = c.std / Math.sqrt(2 * c.layers); // layers that write to the residual stream begin smaller
    const conv = (module: string, into: number, out: number, std = c.std): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [into, out], init: { std }, linear: true, transposed: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const ln = (module: string) => layerNormSpecs(module, c.width);
    const layer = (i: number): ParameterSpec[] => {
      const h = `transformer.h.${i}`;
      const own = headsLeft(c, i) * (c.width / c.heads);
      return [
        ...ln(`${h}.ln_1`),
        ...conv(`${h}.attn.c_attn`, c.width, 3 * own),
        ...conv(`${h}.attn.c_proj`, own, c.width, residual),
        ...ln(`${h}.ln_2`),
        ...conv(`${h}.mlp.c_fc`, c.width, c.inner),
        ...conv(`${h}.mlp.c_proj`, c.inner, c.width, residual),
      ];
    };
    return [
      { name: "transformer.wte.weight", shape: [c.vocabulary, c.width], init: { std: c.std }, table: true },
      { name: "transformer.wpe.weight", shape: [c.positions, c.width], init: { std: c.std }, table: true },
      ...Array.from({ length: c.layers }, (_, i) => layer(i)).flat(),
      ...ln("transformer.ln_f"),
      ...(c.tied
        ? []
        : [{ name: "lm_head.weight", shape: [c.vocabulary, c.width], init: { std: c.std }, linear: true } as const]),
    ];
  },

  forward(net, c, inputs) {
    if (!("positions" in inputs)) throw new TypeError("a language model takes token ids");
    const { rec } = net;
    const tokens = net.embed(inputs.ids, "transformer.wte");
    const placed = add(rec, tokens, net.embed(inputs.positions, "transformer.wpe"));
    const headDim = c.width / c.heads;
    const last = net.layers(c.layers, placed, (layer, x) => {
      const heads = headsLeft(c, layer);
      const own = heads * headDim;
      const h = `transformer.h.${layer}`;
      const fused = net.linear(normed(net, c, `${h}.ln_1`, x), `${h}.attn.c_attn`); // (N, 3 C)
      const [q, k, v] = splitColumns(rec, fused, [own, own, own]);
      const attended = net.attend(q!, k!, v!, { layer, heads, kvHeads: heads, headDim, causal: true });
      const mixed = net.note(`middle.${layer}`, net.linear(attended, `${h}.attn.c_proj`, { add: x }));
      const inner = gelu(rec, net.linear(normed(net, c, `${h}.ln_2`, mixed), `${h}.mlp.c_fc`), { tanh: c.tanh });
      return net.linear(inner, `${h}.mlp.c_proj`, { add: mixed });
    });
    return normed(net, c, "transformer.ln_f", last);
  },

  head: (net, c, hidden) => (c.tied ? net.project(hidden, "transformer.wte.weight") : net.linear(hidden, "lm_head")),
};
