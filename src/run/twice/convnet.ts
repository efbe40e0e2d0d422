/** The layers of model/architectures/convnet.ts, on values that are differentiable twice. */
import type { ConvnetConfig } from "../../model/architectures/convnet.ts";
import { windowsAlong } from "../../tensor/ops/windows.ts";
import {
  add,
  addRow,
  type LinearMap,
  mapped,
  matmul,
  pick,
  relu,
  reshape,
  sumOver,
  takeRows,
  times,
} from "../../tensor/twice/ops.ts";
import type { Value } from "../../tensor/twice/value.ts";
import { batchNormed } from "./batch-norm.ts";
import { type Passing, type Weights, weightOf } from "./pass.ts";

type Layer = ConvnetConfig["layers"][number];
type Conv = Extract<Layer, { type: "conv" }>;

/** Images (n, side side channels), channels last. */
interface Images {
  readonly x: Value;
  readonly side: number;
  readonly channels: number;
}

function mapOf(
  inputs: number,
  outputs: number,
  entries: Iterable<readonly [to: number, from: number, weight: number]>,
): LinearMap {
  const all = [...entries];
  return {
    ...{ inputs, outputs },
    to: Int32Array.from(all, ([to]) => to),
    from: Int32Array.from(all, ([, from]) => from),
    weight: Float64Array.from(all, ([, , weight]) => weight),
  };
}

/** Every window of an image: its place, the place in it and the place in the image; what lies beyond is left out. */
function* windowPlaces(side: number, { kernel, stride, padding }: Layer) {
  const out = windowsAlong(side, kernel, stride, padding);
  for (let row = 0; row < out; row++)
    for (let column = 0; column < out; column++)
      for (let ky = 0; ky < kernel; ky++)
        for (let kx = 0; kx < kernel; kx++) {
          const [y, x] = [row * stride + ky - padding, column * stride + kx - padding];
          if (y < 0 || y >= side || x < 0 || x >= side) continue;
          yield { window: row * out + column, within: ky * kernel + kx, at: y * side + x };
        }
}

/**
 * From images to the windows that channels from `first` on have, (windows, channels kernel kernel) as PyTorch's
 * weights.
 */
function* windowEntries(side: number, layer: Conv, first: number): Generator<readonly [number, number, number]> {
  const [own, area] = [layer.into / layer.groups, layer.kernel ** 2];
  for (const { window, within, at } of windowPlaces(side, layer))
    for (let c = 0; c < own; c++) yield [(window * own + c) * area + within, at * layer.into + first + c, 1];
}

/** A convolution whose maps are made once. */
function convolution(layer: Conv, side: number, module: string): (weights: Weights, images: Images) => Images {
  const { into, out, kernel, stride, padding, groups } = layer;
  const [own, made] = [into / groups, out / groups];
  const after = windowsAlong(side, kernel, stride, padding);
  const [places, read] = [after ** 2, own * kernel ** 2];
  const parts = Array.from({ length: groups }, (_, g) => ({
    rows: Array.from({ length: made }, (_, i) => g * made + i),
    windows: mapOf(side ** 2 * into, places * read, windowEntries(side, layer, g * own)),
    columns: mapOf(
      made,
      out,
      Array.from({ length: made }, (_, i) => [g * made + i, i, 1] as const),
    ),
  }));
  return (weights, { x }) => {
    const n = x.shape[0]!;
    const matrix = reshape(weightOf(weights, `${module}.weight`), [out, read]);
    const answers = parts.map(({ rows, windows, columns }) => {
      const seen = reshape(mapped(x, windows), [n * places, read]);
      if (groups === 1) return matmul(seen, matrix, { tb: true });
      return mapped(matmul(seen, takeRows(matrix, rows), { tb: true }), columns);
    });
    const y = addRow(answers.reduce(add), weightOf(weights, `${module}.bias`));
    return { x: y, side: after, channels: out }; // (n places, out)
  };
}

function averaged(layer: Layer, { x, side, channels }: Images): Value {
  const places = windowsAlong(side, layer.kernel, layer.stride, layer.padding) ** 2;
  const share = 1 / layer.kernel ** 2; // places beyond the edge count as 0
  const entries = [...windowPlaces(side, layer)].flatMap(({ window, at }) =>
    Array.from({ length: channels }, (_, c) => [window * channels + c, at * channels + c, share] as const),
  );
  return mapped(x, mapOf(side ** 2 * channels, places * channels, entries));
}

function largest(layer: Layer, { x, side, channels }: Images): Value {
  const places = windowsAlong(side, layer.kernel, layer.stride, layer.padding) ** 2;
  const [n, each] = [x.shape[0]!, side ** 2 * channels];
  const best = new Int32Array(n * places * channels).fill(-1);
  for (const { window, at } of windowPlaces(side, layer))
    for (let row = 0; row < n; row++)
      for (let c = 0; c < channels; c++) {
        const [place, from] = [(row * places + window) * channels + c, row * each + at * channels + c];
        if (best[place]! < 0 || x.data[from]! > x.data[best[place]!]!) best[place] = from;
      }
  return pick(x, best, [n, places * channels]);
}

/** From channels first to channels last, and back. */
function turned(x: Value, channels: number, side: number, to: "first" | "last"): Value {
  if (channels === 1 || side === 1) return x;
  const count = channels * side ** 2;
  const entries = Array.from({ length: count }, (_, i) => {
    const [c, place] = [i % channels, Math.floor(i / channels)];
    const [last, first] = [i, c * side ** 2 + place];
    return to === "last" ? ([last, first, 1] as const) : ([first, last, 1] as const);
  });
  return mapped(x, mapOf(count, count, entries));
}

/** (n, channels side side), channels first -> (n, width) */
export function convnetFeatures(c: ConvnetConfig): (weights: Weights, rows: Value, passing?: Passing) => Value {
  let before = c.image;
  const convolutions = c.layers.map((layer, i) => {
    const own = layer.type === "conv" ? convolution(layer, before, `layers.${i}`) : undefined;
    before = windowsAlong(before, layer.kernel, layer.stride, layer.padding);
    return own;
  });
  return (weights, rows, passing = {}) => {
    const n = rows.shape[0]!;
    let images: Images = { x: turned(rows, c.channels, c.image, "last"), side: c.image, channels: c.channels };
    for (const [i, layer] of c.layers.entries()) {
      const convolved = convolutions[i]?.(weights, images);
      const side = windowsAlong(images.side, layer.kernel, layer.stride, layer.padding);
      if (convolved) {
        const read = c.norm ? batchNormed(weights, c.norm, `norms.${i}`, convolved.x, passing) : convolved.x;
        images = { ...convolved, x: reshape(relu(read), [n, side ** 2 * convolved.channels]) };
      } else images = { ...images, side, x: (layer.type === "max_pool" ? largest : averaged)(layer, images) };
      passing.layer?.(i, images.x);
    }
    const { x, side, channels } = images;
    if (c.pooling === "flatten") return turned(x, channels, side, "first");
    return times(sumOver(x, [n, side ** 2, channels], [n, channels]), 1 / side ** 2);
  };
}
