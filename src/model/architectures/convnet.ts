/**
 * A convolutional classifier of small images: a list of convolutions, each with a batch norm where the config has one
 * and a rectifier, and of pooling layers; then a mean over the image, or all its numbers, and a linear head. An
 * architecture of our own; weights are laid out as PyTorch's. After LeCun et al., Neural Computation 1989.
 *
 * config.json has `layers`, a list of objects:
 *
 *   {"type": "conv", "channels": 16, "kernel_size": 3, "stride": 1, "padding": 1, "groups": 1}
 *   {"type": "max_pool" or "average_pool", "kernel_size": 2, "stride": 2, "padding": 0}
 */
import { UserError } from "../../errors.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { averagePool, globalAverage, maxPool } from "../../tensor/ops/pooling.ts";
import { windowsAlong } from "../../tensor/ops/windows.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Box, Net, ParameterSpec } from "../architecture.ts";
import { type BatchNorm, batchNorm, batchNormJson, batchNormParameters } from "../blocks/batch-norm.ts";
import { monotoneBox, reluBox } from "../blocks/box.ts";
import {
  type ConvLayer,
  channelsLast,
  convolved,
  convolvedBox,
  convParameters,
  flattened,
  imagesOf,
  normedImages,
  normedImagesBox,
  notedImages,
  seenShape,
} from "../blocks/convolution.ts";
import { initJson, type WeightInit, weightInit } from "../blocks/weight-init.ts";
import { ConfigReader } from "../config.ts";

interface Pool {
  readonly type: "max_pool" | "average_pool";
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}
type Layer = Pool | (ConvLayer & { readonly type: "conv" });

export interface ConvnetConfig {
  readonly channels: number;
  readonly image: number;
  readonly classes: number;
  readonly layers: readonly Layer[];
  /** Before each rectifier. */
  readonly norm: BatchNorm | undefined;
  readonly init: WeightInit;
  readonly pooling: "mean" | "flatten";
  /** What the last layer gives: channels, rows and columns. */
  readonly last: { readonly channels: number; readonly image: number };
}

const USUAL = [
  { type: "conv", channels: 16, kernel_size: 3 },
  { type: "max_pool", kernel_size: 2 },
  { type: "conv", channels: 32, kernel_size: 3 },
] as const;

/** Reads a layer over images of so many channels. Throws UserError. */
function layerOf(c: ConfigReader, channels: number): Layer {
  const type = c.oneOf("type", ["conv", "max_pool", "average_pool"]);
  const kernel = c.count("kernel_size");
  if (type !== "conv") {
    const padding = c.countOrNone("padding", 0);
    if (2 * padding > kernel)
      throw new UserError(
        `${c.where}: padding ${padding} is more than half of kernel_size ${kernel}`,
        "a window must hold a place of the image",
      );
    return { type, kernel, stride: c.count("stride", kernel), padding };
  }
  const groups = c.count("groups", 1);
  const out = c.count("channels");
  if (channels % groups !== 0 || out % groups !== 0)
    throw new UserError(
      `${c.where}: ${groups} groups do not divide ${channels} channels into ${out}`,
      "both must be multiples of groups",
    );
  const padding = c.countOrNone("padding", Math.floor(kernel / 2));
  return { type, into: channels, out, kernel, stride: c.count("stride", 1), padding, groups, bias: true };
}

function layersOf(c: ConfigReader, first: { readonly channels: number; readonly image: number }) {
  let { channels, image } = first;
  const layers = c.objects("layers", USUAL).map((json, i) => {
    const own = new ConfigReader(json, `${c.where}: layer ${i}`);
    const layer = layerOf(own, channels);
    const left = windowsAlong(image, layer.kernel, layer.stride, layer.padding);
    if (left === 0)
      throw new UserError(
        `${own.where}: no window of ${layer.kernel} fits into images of ${image}`,
        "leave pooling out, or give a smaller kernel_size",
      );
    image = left;
    if (layer.type === "conv") channels = layer.out;
    return layer;
  });
  return { layers, last: { channels, image } };
}

const pooled = (rec: Recorder, x: Tensor, { type, kernel, stride, padding }: Pool): Tensor =>
  (type === "max_pool" ? maxPool : averagePool)(rec, x, {
    kernel: [kernel, kernel],
    stride: [stride, stride],
    padding: [padding, padding],
  });

function pooledBox(rec: Recorder, box: Box, pool: Pool): Box {
  if (pool.type === "max_pool") return monotoneBox(rec, box, (x) => pooled(rec, x, pool));
  return { center: pooled(rec, box.center, pool), radius: pooled(rec, box.radius, pool) };
}

/** What the head reads of the last images. */
const read = (net: Net, { pooling }: ConvnetConfig, x: Tensor): Tensor =>
  pooling === "mean" ? globalAverage(net.rec, x) : flattened(net, x);

/** The least side of which every layer has a window. */
function leastImage({ layers, image }: ConvnetConfig): number {
  const isEnough = (side: number): boolean => {
    let left = side;
    for (const { kernel, stride, padding } of layers) {
      left = windowsAlong(left, kernel, stride, padding);
      if (left === 0) return false;
    }
    return true;
  };
  for (let side = 1; side < image; side++) if (isEnough(side)) return side;
  return image;
}

const widthOf = ({ pooling, last }: ConvnetConfig): number =>
  pooling === "mean" ? last.channels : last.channels * last.image ** 2;

export const method: Architecture<ConvnetConfig> = {
  name: "convnet",
  title: "Convolutional network",
  about: "classifier of small images: a list of convolutions, depthwise too, and pooling layers",
  cite: "doi:10.1162/neco.1989.1.4.541",
  options: {},
  task: "classifier",

  config(json, where) {
    const c = new ConfigReader(json, where);
    const shape = { channels: c.count("num_channels", 1), image: c.count("image_size") };
    return {
      ...shape,
      classes: c.count("num_labels"),
      ...layersOf(c, shape),
      norm: batchNorm(c),
      init: weightInit(c),
      pooling: c.oneOf("head_pooling", ["mean", "flatten"], "mean"),
    };
  },

  implied: (c) => ({
    num_channels: c.channels,
    image_size: c.image,
    num_labels: c.classes,
    layers: c.layers.map((layer) => {
      const { type, kernel: kernel_size, stride, padding } = layer;
      if (layer.type !== "conv") return { type, kernel_size, stride, padding };
      return { type, channels: layer.out, kernel_size, stride, padding, groups: layer.groups };
    }),
    head_pooling: c.pooling,
    ...batchNormJson(c.norm),
    ...initJson(c.init),
  }),

  sizes: (c) => ({
    layers: c.layers.length,
    width: widthOf(c),
    outputs: c.classes,
    maxPositions: 0,
    example: [c.channels, c.image, c.image],
    ...(c.pooling === "mean" && { sides: { multiple: 1, least: leastImage(c) } }),
  }),

  parameters: (c) => [
    ...c.layers.flatMap((layer, i): ParameterSpec[] =>
      layer.type === "conv"
        ? [
            ...convParameters(`layers.${i}`, layer, c.init),
            ...(c.norm ? batchNormParameters(c.norm, `norms.${i}`, layer.out) : []),
          ]
        : [],
    ),
    {
      name: "classifier.weight",
      shape: [c.classes, widthOf(c)],
      init: { std: Math.sqrt(2 / widthOf(c)) },
      linear: true,
    },
    { name: "classifier.bias", shape: [c.classes], init: "zeros" },
  ],

  forward(net, c, inputs) {
    let x = imagesOf(net, inputs, c.pooling === "mean" ? seenShape(c, inputs) : c); // (B, H, W, C)
    for (const [i, layer] of c.layers.entries()) {
      if (layer.type === "conv") {
        const own = convolved(net, x, `layers.${i}`, layer);
        x = relu(net.rec, c.norm ? normedImages(net, c.norm, `norms.${i}`, own, inputs) : own);
      } else x = pooled(net.rec, x, layer);
      x = notedImages(net, `hidden.${i + 1}`, x);
    }
    return read(net, c, x); // (B, width)
  },

  bounds: {
    head: "classifier",
    lacks: () => undefined,
    forward(net, c, { center, radius }, heard) {
      let box: Box = { center: channelsLast(net, center, c), radius: channelsLast(net, radius, c) };
      for (const [i, layer] of c.layers.entries()) {
        if (layer.type !== "conv") {
          box = pooledBox(net.rec, box, layer);
          continue;
        }
        const own = convolvedBox(net, box, `layers.${i}`, layer);
        const before = c.norm ? normedImagesBox(net, c.norm, `norms.${i}`, own) : own;
        heard(before);
        box = reluBox(net.rec, before);
      }
      return { center: read(net, c, box.center), radius: read(net, c, box.radius) };
    },
  },

  // (B, classes)
  head: (net, _, hidden) => net.linear(hidden, "classifier"),
};
