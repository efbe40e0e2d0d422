/**
 * Vision Transformer for classification, as Hugging Face's ViTForImageClassification. Dosovitskiy et al., ICLR 2021,
 * https://arxiv.org/abs/2010.11929
 */
import type { Architecture, ParameterSpec } from "../architecture.ts";
import {
  type DomainHeads,
  domainHeadParameters,
  domainHeads,
  domainHeadsJson,
  domainLogits,
  mixedHeads,
} from "../blocks/domain-heads.ts";
import {
  type DynamicWidth,
  dynamicJson,
  dynamicUnits,
  dynamicWidth,
  predictorParameters,
} from "../blocks/dynamic-width.ts";
import {
  type KeyValueHead,
  keyValueHead,
  keyValueJson,
  keyValueLogits,
  keyValueParameters,
} from "../blocks/key-value-head.ts";
import { headsLeft, prunedHeads, prunedJson } from "../blocks/pruned-heads.ts";
import {
  expandedLogits,
  type HeadExpansion,
  headExpansion,
  headExpansionJson,
  headExpansionParameters,
} from "../blocks/random-expansion.ts";
import {
  classRows,
  imageTokens,
  seenAt,
  tokensOf,
  type VisionConfig,
  type VisionNames,
  visionConfig,
  visionLayers,
  visionNorm,
} from "../blocks/vision.ts";
import { ConfigReader } from "../config.ts";

interface VitConfig extends VisionConfig {
  readonly classes: number;
  readonly qkvBias: boolean;
  /** In place of the linear head. */
  readonly keyValue: KeyValueHead | undefined;
  /** In place of the linear head. */
  readonly expansion: HeadExpansion | undefined;
  /** Hidden units that inputs switch. */
  readonly dynamic: DynamicWidth | undefined;
  /** Beside the linear head. */
  readonly domainHeads: DomainHeads | undefined;
}

const NAMES: VisionNames = {
  classToken: "vit.embeddings.cls_token",
  positions: "vit.embeddings.position_embeddings",
  patch: {
    weight: "vit.embeddings.patch_embeddings.projection.weight",
    bias: "vit.embeddings.patch_embeddings.projection.bias",
  },
  layer: (index) => `vit.encoder.layer.${index}`,
  q: "attention.attention.query",
  k: "attention.attention.key",
  v: "attention.attention.value",
  out: "attention.output.dense",
  up: "intermediate.dense",
  down: "output.dense",
  norms: ["layernorm_before", "layernorm_after"],
};

const predictorOf = (layer: number) => `${NAMES.layer(layer)}.predictor`;

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
    const vision = visionConfig(c, { patch: 16, eps: 1e-12, activation: "gelu" });
    return {
      ...vision,
      pruned: prunedHeads(c, vision.layers, vision.heads),
      classes: c.count("num_labels", labels ? Object.keys(labels).length : 2),
      qkvBias: c.flag("qkv_bias", true),
      keyValue: keyValueHead(c),
      expansion: headExpansion(c),
      domainHeads: domainHeads(c),
      dynamic: dynamicWidth(c),
    };
  },

  implied: (c) => ({
    hidden_size: c.width,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    ...prunedJson(c.pruned),
    intermediate_size: c.inner,
    hidden_act: "gelu",
    initializer_range: c.std,
    layer_norm_eps: c.eps,
    image_size: c.image,
    patch_size: c.patch,
    num_channels: c.channels,
    qkv_bias: c.qkvBias,
    num_labels: c.classes,
    ...keyValueJson(c.keyValue),
    ...headExpansionJson(c.expansion),
    ...domainHeadsJson(c.domainHeads),
    ...dynamicJson(c.dynamic),
  }),

  sizes: (c) => ({
    layers: c.layers,
    width: c.width,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.channels, c.image, c.image],
    sides: { multiple: c.patch, least: c.patch },
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
        const own = headsLeft(c, i) * (c.width / c.heads);
        return [
          ...["query", "key", "value"].flatMap((name) =>
            linear(`${layer}.attention.attention.${name}`, c.width, own, c.qkvBias),
          ),
          ...linear(`${layer}.attention.output.dense`, own, c.width),
          ...linear(`${layer}.intermediate.dense`, c.width, c.inner),
          ...linear(`${layer}.output.dense`, c.inner, c.width),
          ...predictorParameters(c.dynamic, predictorOf(i), c.width, c.inner),
          ...ln(`${layer}.layernorm_before`),
          ...ln(`${layer}.layernorm_after`),
        ];
      }).flat(),
      ...ln("vit.layernorm"),
      ...(c.expansion
        ? headExpansionParameters(c.expansion, c.width, c.classes)
        : c.keyValue
          ? keyValueParameters(c.keyValue, c.width, c.classes)
          : linear("classifier", c.width, c.classes)),
      ...domainHeadParameters(c.domainHeads, (module) => linear(module, c.width, c.classes)),
    ];
  },

  forward(net, own, inputs) {
    const c = seenAt(own, inputs);
    const x = visionLayers(net, c, NAMES, imageTokens(net, c, NAMES, inputs, own.image), (layer, read, units) =>
      dynamicUnits(net, c.dynamic, { module: predictorOf(layer), layer, read, units }, inputs),
    ); // (B T, C)
    return classRows(net, c, visionNorm(net, c, "vit.layernorm", x), inputs); // (B, C)
  },

  // (B, classes)
  head(net, { keyValue, expansion, domainHeads: heads }, hidden) {
    if (heads) return mixedHeads(net.rec, domainLogits(net, heads, hidden), heads.gamma);
    if (expansion) return expandedLogits(net, hidden);
    return keyValue ? keyValueLogits(net, keyValue, hidden) : net.linear(hidden, "classifier");
  },
};
