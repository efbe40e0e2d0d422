/**
 * Vision Transformer for classification, as Hugging Face's ViTForImageClassification. Dosovitskiy et al., ICLR 2021,
 * https://arxiv.org/abs/2010.11929
 */
import { gelu } from "../../tensor/ops/activation.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { layerNorm } from "../../tensor/ops/norm.ts";
import { patches } from "../../tensor/ops/patch.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader, expectHead } from "../config.ts";

export interface VitConfig {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly image: number;
  readonly patch: number;
  readonly channels: number;
  readonly classes: number;
  readonly eps: number;
  readonly std: number;
  readonly qkvBias: boolean;
}

const tokensOf = ({ image, patch }: VitConfig): number => (image / patch) ** 2 + 1;

const norm = (net: Net, c: VitConfig, name: string, x: Tensor): Tensor =>
  layerNorm(net.rec, x, net.weight(`${name}.weight`), net.weight(`${name}.bias`), { eps: c.eps });

export const method: Architecture<VitConfig> = {
  name: "vit",
  title: "Vision Transformer",
  about: "classifier of images cut into patches",
  cite: "arXiv:2010.11929",
  options: {},
  className: "ViTForImageClassification",
  task: "classifier",
  ignored: /^vit\.pooler\./,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("hidden_act", "gelu");
    const labels = c.object("id2label");
    const width = c.count("hidden_size", 768);
    const heads = c.count("num_attention_heads", 12);
    expectHead(where, c.headWidth(width, heads, { width: "hidden_size", heads: "num_attention_heads" }));
    return {
      width,
      inner: c.count("intermediate_size", 3072),
      layers: c.count("num_hidden_layers", 12),
      heads,
      image: c.count("image_size", 224),
      patch: c.count("patch_size", 16),
      channels: c.count("num_channels", 3),
      classes: c.count("num_labels", labels ? Object.keys(labels).length : 2),
      eps: c.number("layer_norm_eps", 1e-12, { least: 0 }),
      std: c.number("initializer_range", 0.02, { least: 0 }),
      qkvBias: c.flag("qkv_bias", true),
    };
  },

  implied: (c) => ({
    hidden_size: c.width,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    intermediate_size: c.inner,
    hidden_act: "gelu",
    initializer_range: c.std,
    layer_norm_eps: c.eps,
    image_size: c.image,
    patch_size: c.patch,
    num_channels: c.channels,
    qkv_bias: c.qkvBias,
    num_labels: c.classes,
  }),

  sizes: (c) => ({
    layers: c.layers,
    width: c.width,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.channels, c.image, c.image],
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number, bias = true): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [out, into], init: { std: c.std }, linear: true },
      ...(bias ? [{ name: `${module}.bias`, shape: [out], init: "zeros" } as const] : []),
    ];
    const ln = (module: string): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [c.width], init: "ones" },
      { name: `${module}.bias`, shape: [c.width], init: "zeros" },
    ];
    const at = "vit.embeddings";
    return [
      { name: `${at}.cls_token`, shape: [1, 1, c.width], init: { std: c.std } },
      { name: `${at}.position_embeddings`, shape: [1, tokensOf(c), c.width], init: { std: c.std } },
      {
        name: `${at}.patch_embeddings.projection.weight`,
        shape: [c.width, c.channels, c.patch, c.patch],
        init: { std: c.std },
      },
      { name: `${at}.patch_embeddings.projection.bias`, shape: [c.width], init: "zeros" },
      ...Array.from({ length: c.layers }, (_, i) => {
        const layer = `vit.encoder.layer.${i}`;
        return [
          ...["query", "key", "value"].flatMap((name) =>
            linear(`${layer}.attention.attention.${name}`, c.width, c.width, c.qkvBias),
          ),
          ...linear(`${layer}.attention.output.dense`, c.width, c.width),
          ...linear(`${layer}.intermediate.dense`, c.width, c.inner),
          ...linear(`${layer}.output.dense`, c.inner, c.width),
          ...ln(`${layer}.layernorm_before`),
          ...ln(`${layer}.layernorm_after`),
        ];
      }).flat(),
      ...ln("vit.layernorm"),
      ...linear("classifier", c.width, c.classes),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const { rec } = net;
    const { batch } = inputs;
    const tokens = tokensOf(c);
    const at = "vit.embeddings";
    const images = rec.reshape(inputs.x, [batch, c.channels, c.image, c.image]);
    const cut = patches(rec, images, { size: c.patch }); // (B P, channels size^2)
    const projected = net.project(
      cut,
      `${at}.patch_embeddings.projection.weight`,
      `${at}.patch_embeddings.projection.bias`,
    ); // (B P, C)
    // Every row of the sequence picks its patch, its position, and the first one the class token; -1 picks nothing.
    const pick = (label: string, index: (image: number, token: number) => number) =>
      rec.constant(
        Int32Array.from({ length: batch * tokens }, (_, i) => index(Math.floor(i / tokens), i % tokens)),
        [batch * tokens],
        label,
      );
    const rows = (name: string, n: number) => rec.reshape(net.weight(`${at}.${name}`), [n, c.width]);
    const placed = embedding(
      rec,
      pick("patches", (image, token) => (token === 0 ? -1 : image * (tokens - 1) + token - 1)),
      projected,
    );
    const classes = embedding(
      rec,
      pick("class tokens", (_, token) => (token === 0 ? 0 : -1)),
      rows("cls_token", 1),
    );
    const positions = embedding(
      rec,
      pick("positions", (_, token) => token),
      rows("position_embeddings", tokens),
    );
    let x = add(rec, add(rec, placed, classes), positions); // (B T, C)
    const shape = { heads: c.heads, kvHeads: c.heads, headDim: c.width / c.heads, causal: false };
    for (let layer = 0; layer < c.layers; layer++) {
      const prefix = `vit.encoder.layer.${layer}`;
      const into = x;
      x = net.block(() => {
        const h = norm(net, c, `${prefix}.layernorm_before`, into);
        const [q, k, v] = ["query", "key", "value"].map((name) =>
          net.linear(h, `${prefix}.attention.attention.${name}`),
        );
        const mixed = net.linear(net.attend(q!, k!, v!, { layer, ...shape }), `${prefix}.attention.output.dense`, {
          add: into,
        });
        const inner = gelu(
          rec,
          net.linear(norm(net, c, `${prefix}.layernorm_after`, mixed), `${prefix}.intermediate.dense`),
        );
        return net.linear(inner, `${prefix}.output.dense`, { add: mixed });
      });
      x = net.note(`hidden.${layer + 1}`, x);
    }
    const first = rec.constant(
      Int32Array.from({ length: batch }, (_, i) => i * tokens),
      [batch],
      "first tokens",
    );
    return embedding(rec, first, norm(net, c, "vit.layernorm", x)); // (B, C)
  },

  head: (net, _, hidden) => net.linear(hidden, "classifier"), // (B, classes)
};
