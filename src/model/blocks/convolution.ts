/**
 * Convolutional layers of an architecture over images (B, H, W, C), and their boxes. Weights are as PyTorch's Conv2d
 * has them, (out, in / groups, rows, columns).
 */

import { convolution } from "../../tensor/ops/convolution.ts";
import { abs } from "../../tensor/ops/elementwise.ts";
import { patches } from "../../tensor/ops/patch.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Box, ExampleInputs, Inputs, Net, ParameterSpec } from "../architecture.ts";
import { type BatchNorm, batchNormed, batchNormedBox } from "./batch-norm.ts";
import { initOf, type WeightInit } from "./weight-init.ts";

export interface ConvLayer {
  readonly into: number;
  readonly out: number;
  /** Rows and columns of a window. */
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  readonly bias: boolean;
}

/** A layer that keeps the size of an image but for its stride. */
export const convLayer = (into: number, out: number, kernel: number, stride = 1): ConvLayer => ({
  ...{ into, out, kernel, stride, groups: 1, bias: false },
  padding: Math.floor(kernel / 2),
});

export function convParameters(
  module: string,
  { into, out, kernel, groups, bias }: ConvLayer,
  init: WeightInit = "he",
): ParameterSpec[] {
  const read = (into / groups) * kernel ** 2;
  return [
    {
      name: `${module}.weight`,
      shape: [out, into / groups, kernel, kernel],
      init: initOf(init, read),
      small: true,
    },
    ...(bias ? [{ name: `${module}.bias`, shape: [out], init: "zeros" } as const] : []),
  ];
}

const windowsOf = ({ stride, padding, groups }: ConvLayer) => ({
  stride: [stride, stride] as const,
  padding: [padding, padding] as const,
  groups,
});

/** (B, H, W, into) -> (B, OH, OW, out) */
export const convolved = (net: Net, x: Tensor, module: string, layer: ConvLayer): Tensor =>
  convolution(net.rec, x, net.weight(`${module}.weight`), {
    ...windowsOf(layer),
    ...(layer.bias ? { bias: net.weight(`${module}.bias`) } : {}),
  });

export const convolvedBox = (net: Net, { center, radius }: Box, module: string, layer: ConvLayer): Box => ({
  center: convolved(net, center, module, layer),
  radius: convolution(net.rec, radius, abs(net.rec, net.weight(`${module}.weight`)), windowsOf(layer)),
});

/** Rows of all places, (B H W, C). */
const places = (net: Net, x: Tensor): Tensor => {
  const width = x.shape.at(-1) ?? 1;
  return net.rec.reshape(x, [x.shape.slice(0, -1).reduce((a, b) => a * b, 1), width]);
};

/** Images whose channels are normalized over all places of all images. */
export const normedImages = (net: Net, norm: BatchNorm, module: string, x: Tensor, inputs: Inputs): Tensor =>
  net.rec.reshape(batchNormed(net, norm, module, places(net, x), inputs), x.shape);

export function normedImagesBox(net: Net, norm: BatchNorm, module: string, box: Box): Box {
  const rows = { center: places(net, box.center), radius: places(net, box.radius) };
  const { center, radius } = batchNormedBox(net, norm, module, rows);
  const shaped = (x: Tensor) => net.rec.reshape(x, box.center.shape);
  return { center: shaped(center), radius: shaped(radius) };
}

export interface ImageShape {
  readonly channels: number;
  /** Rows and columns. */
  readonly image: number;
}

/** Numbers (B, ...) of images with channels first, as images with channels last. */
export function channelsLast(net: Net, x: Tensor, { channels, image }: ImageShape): Tensor {
  const [batch = 0] = x.shape;
  const first = net.rec.reshape(x, [batch, channels, image, image]);
  return net.rec.reshape(patches(net.rec, first, { size: 1 }), [batch, image, image, channels]);
}

/** Images (B, H, W, C) as rows of numbers in PyTorch's order, channel by channel: (B, C H W). */
export function flattened(net: Net, x: Tensor): Tensor {
  const [batch = 0, h = 0, w = 0, c = 0] = x.shape;
  const turned = patches(net.rec, net.rec.reshape(x, [batch, h * w, c, 1]), { size: 1 }); // (B C, H W)
  return net.rec.reshape(turned, [batch, c * h * w]);
}

/** The shape of the images of a batch, which may be smaller than the model's. */
export function seenShape({ channels, image }: ImageShape, inputs: Inputs): ImageShape {
  if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
  const { shape } = inputs.x;
  return { channels, image: shape.length === 4 ? shape[3]! : image };
}

/** The images of a classifier's inputs, noted as what the first layer reads. Throws TypeError for texts. */
export function imagesOf(net: Net, inputs: Inputs, shape: ImageShape): Tensor {
  if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
  const { batch, x }: ExampleInputs = inputs;
  const numbers = net.note("hidden.0", net.rec.reshape(x, [batch, shape.channels * shape.image ** 2]));
  return channelsLast(net, numbers, shape);
}

/** What a layer gives, noted as rows (B, H W C). */
export function notedImages(net: Net, name: string, x: Tensor): Tensor {
  const [batch = 0, ...rest] = x.shape;
  const rows = net.note(name, net.rec.reshape(x, [batch, rest.reduce((a, b) => a * b, 1)]));
  return net.rec.reshape(rows, x.shape);
}
