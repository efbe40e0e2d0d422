/**
 * CLIP's vision tower as a classifier: logits are scaled cosines of an image's features and the features of texts that
 * name the classes. Radford et al., ICML 2021, https://arxiv.org/abs/2103.00020
 *
 * The texts' features are no part of the tower: they are `zeroshot_head.safetensors` beside the weights
 * (zero-shot-head.ts), or the tensor `zeroshot_head.weight` of a model that was made from a config alone.
 */
import { scale } from "../../tensor/ops/elementwise.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Net, ParameterSpec } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";
import { HEAD, PROJECTION } from "../zero-shot-head.ts";
import {
  classRows,
  imageTokens,
  tokensOf,
  type VisionConfig,
  type VisionNames,
  visionConfig,
  visionLayers,
  visionNorm,
} from "./vision.ts";

export interface ClipConfig extends VisionConfig {
  readonly classes: number;
  /** Width of the features that images and texts share. */
  readonly shared: number;
  /** Whether the projection to it is the head's rather than the tower's, and is not trained. */
  readonly projects: "tower" | "head";
  /** Length of a class's row in the head of a new model. */
  readonly initialScale: number;
}

const AT = "vision_model";
const NAMES: VisionNames = {
  classToken: `${AT}.embeddings.class_embedding`,
  positions: `${AT}.embeddings.position_embedding.weight`,
  patch: { weight: `${AT}.embeddings.patch_embedding.weight` },
  layer: (index) => `${AT}.encoder.layers.${index}`,
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  out: "self_attn.out_proj",
  up: "mlp.fc1",
  down: "mlp.fc2",
  norms: ["layer_norm1", "layer_norm2"],
};

/** Reads the vision tower's part of a config. Throws UserError. */
export function clipConfig(
  c: ConfigReader,
  whole: { readonly shared: number; readonly initialScale: number; readonly labels: ConfigReader },
): ClipConfig {
  const { shared, initialScale, labels } = whole;
  const named = labels.object("id2label");
  return {
    ...visionConfig(c, { patch: 32, eps: 1e-5, activation: "quick_gelu" }),
    classes: labels.count("num_labels", named ? Object.keys(named).length : 2),
    shared,
    projects: labels.oneOf("zeroshot_projection", ["tower", "head"], "tower"),
    initialScale,
  };
}

function parameters(c: ClipConfig): ParameterSpec[] {
  const linear = (module: string, into: number, out: number): ParameterSpec[] => [
    { name: `${module}.weight`, shape: [out, into], init: { std: c.std }, linear: true },
    { name: `${module}.bias`, shape: [out], init: "zeros" },
  ];
  const norm = (module: string): ParameterSpec[] => [
    { name: `${module}.weight`, shape: [c.width], init: "ones" },
    { name: `${module}.bias`, shape: [c.width], init: "zeros" },
  ];
  const layers = Array.from({ length: c.layers }, (_, i) => {
    const at = NAMES.layer(i);
    return [
      ...[NAMES.k, NAMES.v, NAMES.q, NAMES.out].flatMap((name) => linear(`${at}.${name}`, c.width, c.width)),
      ...norm(`${at}.${NAMES.norms[0]}`),
      ...linear(`${at}.${NAMES.up}`, c.width, c.inner),
      ...linear(`${at}.${NAMES.down}`, c.inner, c.width),
      ...norm(`${at}.${NAMES.norms[1]}`),
    ];
  });
  const own = c.projects === "tower";
  return [
    { name: NAMES.classToken, shape: [c.width], init: { std: c.std } },
    { name: NAMES.patch.weight, shape: [c.width, c.channels, c.patch, c.patch], init: { std: c.std } },
    { name: NAMES.positions, shape: [tokensOf(c), c.width], init: { std: c.std } },
    ...norm(`${AT}.pre_layrnorm`),
    ...layers.flat(),
    ...norm(`${AT}.post_layernorm`),
    {
      name: PROJECTION,
      shape: [c.shared, c.width],
      init: { std: c.width ** -0.5 },
      ...(own ? { linear: true } : { buffer: true }),
    },
    { name: HEAD, shape: [c.classes, c.shared], init: { std: c.initialScale / Math.sqrt(c.shared) }, buffer: true },
  ];
}

/** Rows divided by their lengths. (B, D) -> (B, D) */
function unitRows(net: Net, x: Tensor, width: number): Tensor {
  const ones = net.rec.constant(new Float32Array(width).fill(1), [width], "ones");
  return scale(net.rec, rmsNorm(net.rec, x, ones, { eps: 1e-30 }), 1 / Math.sqrt(width));
}

/** Everything but how config.json is read. */
export const clipVision = {
  task: "classifier",
  sizes: (c: ClipConfig) => ({
    layers: c.layers,
    width: c.width,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.channels, c.image, c.image],
  }),
  parameters,

  forward(net, c: ClipConfig, inputs) {
    const tokens = visionNorm(net, c, `${AT}.pre_layrnorm`, imageTokens(net, c, NAMES, inputs));
    const first = classRows(net, c, visionLayers(net, c, NAMES, tokens), inputs); // (B, C)
    return visionNorm(net, c, `${AT}.post_layernorm`, first);
  },

  head(net, c: ClipConfig, hidden) {
    const module = PROJECTION.replace(/\.weight$/, "");
    const features = c.projects === "tower" ? net.linear(hidden, module) : net.project(hidden, PROJECTION); // (B, D)
    return net.project(unitRows(net, features, c.shared), HEAD); // (B, classes)
  },
} as const satisfies Partial<Architecture<ClipConfig>>;
