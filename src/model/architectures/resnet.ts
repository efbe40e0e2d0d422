/**
 * Residual networks for classification, as Hugging Face's ResNetForImageClassification. He et al., CVPR 2016,
 * https://arxiv.org/abs/1512.03385
 *
 * config.json says nothing of the size of images; `image_size` is a key of ours, 224 when left out.
 */

import { UserError } from "../../errors.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { globalAverage, maxPool } from "../../tensor/ops/pooling.ts";
import { windowsAlong } from "../../tensor/ops/windows.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Inputs, Net, ParameterSpec } from "../architecture.ts";
import { type BatchNorm, batchNormParameters } from "../blocks/batch-norm.ts";
import {
  type ConvLayer,
  convLayer,
  convolved,
  convParameters,
  imagesOf,
  normedImages,
  notedImages,
} from "../blocks/convolution.ts";
import { ConfigReader } from "../config.ts";

export interface ResnetConfig {
  readonly channels: number;
  readonly image: number;
  readonly classes: number;
  /** Channels before the first stage. */
  readonly embedding: number;
  /** Channels of each stage, and blocks in it. */
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  readonly bottleneck: boolean;
  /** Whether the first stage halves images, too. */
  readonly halvesFirst: boolean;
  /** Whether the first convolution of a bottleneck halves, in place of the second. */
  readonly halvesAhead: boolean;
}

/** As BatchNorm2d is made there. */
const NORM: BatchNorm = { momentum: 0.1, eps: 1e-5 };
/** A bottleneck has a fourth of its stage's channels. */
const NARROWER = 4;

interface Block {
  readonly module: string;
  readonly layers: readonly ConvLayer[];
  readonly shortcut: ConvLayer | undefined;
}

const embedder = (c: ResnetConfig): ConvLayer => convLayer(c.channels, c.embedding, 7, 2);

function blockOf(c: ResnetConfig, module: string, into: number, out: number, stride: number): Block {
  const narrow = out / NARROWER;
  const [first, second] = c.halvesAhead ? [stride, 1] : [1, stride];
  return {
    module,
    layers: c.bottleneck
      ? [convLayer(into, narrow, 1, first), convLayer(narrow, narrow, 3, second), convLayer(narrow, out, 1)]
      : [convLayer(into, out, 3, stride), convLayer(out, out, 3)],
    shortcut: into !== out || stride !== 1 ? convLayer(into, out, 1, stride) : undefined,
  };
}

const blocksOf = (c: ResnetConfig): Block[] =>
  c.widths.flatMap((out, stage) =>
    Array.from({ length: c.depths[stage]! }, (_, i) => {
      const into = i > 0 ? out : (c.widths[stage - 1] ?? c.embedding);
      const stride = i === 0 && (stage > 0 || c.halvesFirst) ? 2 : 1;
      return blockOf(c, `resnet.encoder.stages.${stage}.layers.${i}`, into, out, stride);
    }),
  );

const withNorm = (module: string, layer: ConvLayer): ParameterSpec[] => [
  ...convParameters(`${module}.convolution`, layer),
  ...batchNormParameters(NORM, `${module}.normalization`, layer.out),
];

const normed = (net: Net, module: string, layer: ConvLayer, x: Tensor, inputs: Inputs): Tensor =>
  normedImages(net, NORM, `${module}.normalization`, convolved(net, x, `${module}.convolution`, layer), inputs);

export const method: Architecture<ResnetConfig> = {
  name: "resnet",
  title: "Residual network",
  about: "classifier of images: residual blocks of convolutions and batch norms",
  cite: "arXiv:1512.03385",
  options: {},
  className: "ResNetForImageClassification",
  task: "classifier",
  ignored: /\.num_batches_tracked$/,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("hidden_act", "relu");
    const labels = c.object("id2label");
    const widths = c.counts("hidden_sizes", [256, 512, 1024, 2048]);
    const depths = c.counts("depths", [3, 4, 6, 3]);
    const bottleneck = c.oneOf("layer_type", ["bottleneck", "basic"], "bottleneck") === "bottleneck";
    if (widths.length !== depths.length || widths.length === 0 || [...widths, ...depths].includes(0))
      throw new UserError(
        `${where}: hidden_sizes and depths say ${widths.length} and ${depths.length} stages, of which none may be empty`,
        "both have a number for each stage",
      );
    const odd = widths.find((width) => width % NARROWER !== 0);
    if (bottleneck && odd !== undefined)
      throw new UserError(`${where}: a bottleneck has a fourth of ${odd} channels`, "or give layer_type basic");
    const read = {
      channels: c.count("num_channels", 3),
      image: c.count("image_size", 224),
      classes: c.count("num_labels", labels ? Object.keys(labels).length : 2),
      embedding: c.count("embedding_size", 64),
      ...{ widths, depths, bottleneck },
      halvesFirst: c.flag("downsample_in_first_stage", false),
      halvesAhead: c.flag("downsample_in_bottleneck", false),
    };
    if (windowsAlong(windowsAlong(read.image, 7, 2, 3), 3, 2, 1) === 0)
      throw new UserError(`${where}: images of ${read.image} leave nothing`, "give a larger image_size");
    return read;
  },

  implied: (c) => ({
    num_channels: c.channels,
    image_size: c.image,
    embedding_size: c.embedding,
    hidden_sizes: c.widths,
    depths: c.depths,
    layer_type: c.bottleneck ? "bottleneck" : "basic",
    hidden_act: "relu",
    downsample_in_first_stage: c.halvesFirst,
    downsample_in_bottleneck: c.halvesAhead,
    num_labels: c.classes,
  }),

  sizes: (c) => ({
    layers: c.depths.reduce((a, b) => a + b, 0),
    width: c.widths.at(-1)!,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.channels, c.image, c.image],
  }),

  parameters: (c) => [
    ...withNorm("resnet.embedder.embedder", embedder(c)),
    ...blocksOf(c).flatMap(({ module, layers, shortcut }) => [
      ...(shortcut ? withNorm(`${module}.shortcut`, shortcut) : []),
      ...layers.flatMap((layer, i) => withNorm(`${module}.layer.${i}`, layer)),
    ]),
    {
      name: "classifier.1.weight",
      shape: [c.classes, c.widths.at(-1)!],
      init: { std: Math.sqrt(1 / (3 * c.widths.at(-1)!)) },
      linear: true,
    },
    { name: "classifier.1.bias", shape: [c.classes], init: "zeros" },
  ],

  forward(net, c, inputs) {
    const { rec } = net;
    const images = imagesOf(net, inputs, c);
    const first = relu(rec, normed(net, "resnet.embedder.embedder", embedder(c), images, inputs));
    let x = maxPool(rec, first, { kernel: [3, 3], stride: [2, 2], padding: [1, 1] });
    for (const [i, { module, layers, shortcut }] of blocksOf(c).entries()) {
      const into = x;
      const own = layers.reduce((h, layer, k) => {
        const next = normed(net, `${module}.layer.${k}`, layer, h, inputs);
        return k < layers.length - 1 ? relu(rec, next) : next;
      }, into);
      const beside = shortcut ? normed(net, `${module}.shortcut`, shortcut, into, inputs) : into;
      x = notedImages(net, `hidden.${i + 1}`, relu(rec, add(rec, own, beside)));
    }
    return globalAverage(rec, x); // (B, width)
  },

  // (B, classes)
  head: (net, _, hidden) => net.linear(hidden, "classifier.1"),
};
