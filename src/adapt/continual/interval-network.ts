/**
 * A hypernetwork in interval arithmetic: a task's box of embeddings becomes a box of another network's weights, and
 * this box of weights a box of logits. Krukowski et al., "HyperInterval", 2024, https://arxiv.org/abs/2405.15444
 *
 *   linear   h <- H h + b, r <- |H| r
 *   ReLU     h and r of the middle and half the width of [relu(h - r), relu(h + r)]
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { abs, add, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** Middles and half widths, (k, n) each. */
export interface Box {
  readonly middle: Tensor;
  readonly radius: Tensor;
}

/** Lower bounds, middles and upper bounds. */
export interface Bounds {
  readonly low: Tensor;
  readonly middle: Tensor;
  readonly high: Tensor;
}

/** Layers of the network that makes weights, on the GPU. */
export class IntervalNetwork {
  readonly layers: readonly { readonly weight: Parameter; readonly bias: Parameter }[];

  /** From `widths[0]` numbers to the weights of the other network, which are `start` where all else is 0. */
  constructor(gpu: Gpu, widths: readonly number[], start: Float32Array, seed: number) {
    this.layers = widths.slice(1).map((out, i) => {
      const into = widths[i]!;
      const isLast = i === widths.length - 2;
      const weight = new Parameter(gpu, `hypernetwork.${i}.weight`, [out, into]);
      const bias = new Parameter(gpu, `hypernetwork.${i}.bias`, [out]);
      // He et al. 2015; the last layer begins small, so that weights begin near `start`.
      const std = isLast ? 0.1 / Math.sqrt(into) : Math.sqrt(2 / into);
      weight.write(keyedNormals(out * into, std, seed, weight.name));
      bias.write(isLast ? start.slice() : new Float32Array(out));
      return { weight, bias };
    });
  }

  get parameters(): readonly Parameter[] {
    return this.layers.flatMap(({ weight, bias }) => [weight, bias]);
  }

  /** Boxes of embeddings (k, m) -> boxes of weights (k, N). */
  record(rec: Recorder, box: Box): Box {
    let { middle, radius } = box;
    for (const [i, { weight, bias }] of this.layers.entries()) {
      const w = rec.parameter(weight);
      middle = linear(rec, middle, w, { bias: rec.parameter(bias) });
      radius = linear(rec, radius, abs(rec, w));
      if (i === this.layers.length - 1) break;
      const [low, high] = [relu(rec, sub(rec, middle, radius)), relu(rec, add(rec, middle, radius))];
      middle = scale(rec, add(rec, high, low), 0.5);
      radius = scale(rec, sub(rec, high, low), 0.5);
    }
    return { middle, radius };
  }

  /** The same in float64 on the host, for one embedding: middles and half widths of the weights. */
  async onHost(
    gpu: Gpu,
    middle: Float64Array,
    radius: number,
  ): Promise<{ middle: Float64Array; radius: Float64Array }> {
    let [h, r] = [middle, new Float64Array(middle.length).fill(radius)];
    for (const [i, { weight, bias }] of this.layers.entries()) {
      const w = await gpu.readFloats(weight.buffer, weight.size);
      const b = await gpu.readFloats(bias.buffer, bias.size);
      const [h0, r0] = [h, r];
      h = Float64Array.from(b, (value, row) => h0.reduce((sum, x, j) => sum + w[row * h0.length + j]! * x, value));
      r = Float64Array.from(b, (_, row) => r0.reduce((sum, x, j) => sum + Math.abs(w[row * r0.length + j]!) * x, 0));
      if (i === this.layers.length - 1) break;
      for (const k of h.keys()) {
        const [low, high] = [Math.max(0, h[k]! - r[k]!), Math.max(0, h[k]! + r[k]!)];
        h[k] = (high + low) / 2;
        r[k] = (high - low) / 2;
      }
    }
    return { middle: h, radius: r };
  }

  free(): void {
    for (const parameter of this.parameters) parameter.free();
  }
}

export const boundsOf = (rec: Recorder, { middle, radius }: Box): Bounds => ({
  low: sub(rec, middle, radius),
  middle,
  high: add(rec, middle, radius),
});

/** Weight and bias of one layer of the other network. */
interface Layer {
  readonly weight: Bounds;
  readonly bias: Bounds;
}

/** The layers of one box of weights, (1, N), which lie one after the other, weight and bias of each. */
function layersOf(rec: Recorder, bounds: Bounds, shapes: readonly (readonly number[])[]): Layer[] {
  const cut = (x: Tensor) => splitColumns(rec, x, shapes.map(sizeOf)).map((part, i) => rec.reshape(part, shapes[i]!));
  const [low, middle, high] = [cut(bounds.low), cut(bounds.middle), cut(bounds.high)];
  const at = (i: number): Bounds => ({ low: low[i]!, middle: middle[i]!, high: high[i]! });
  return Array.from({ length: shapes.length / 2 }, (_, i) => ({ weight: at(2 * i), bias: at(2 * i + 1) }));
}

/**
 * Bounds of the logits of rows x (B, D) by a network of linear layers with ReLU between them, whose weights lie in a
 * box of bounds (1, N); `shapes` are those of weight and bias of each layer.
 */
export function intervalLogits(
  rec: Recorder,
  x: Tensor,
  weights: Bounds,
  shapes: readonly (readonly number[])[],
): Bounds {
  let seen: Bounds | undefined;
  for (const { weight, bias } of layersOf(rec, weights, shapes)) {
    const before: Bounds | undefined = seen && {
      low: relu(rec, seen.low),
      middle: relu(rec, seen.middle),
      high: relu(rec, seen.high),
    };
    seen = before ? hiddenLayer(rec, before, weight, bias) : firstLayer(rec, x, weight, bias);
  }
  return seen!;
}

const part = (rec: Recorder, x: Tensor, sign: 1 | -1) => relu(rec, sign === 1 ? x : neg(rec, x));

/** Of rows that are known: the positive part of x goes with one bound of W, and the negative with the other. */
function firstLayer(rec: Recorder, x: Tensor, weight: Bounds, bias: Bounds): Bounds {
  const [plus, minus] = [part(rec, x, 1), part(rec, x, -1)];
  const bound = (own: Tensor, other: Tensor, b: Tensor) =>
    sub(rec, linear(rec, plus, own, { bias: b }), linear(rec, minus, other));
  return {
    low: bound(weight.low, weight.high, bias.low),
    middle: linear(rec, x, weight.middle, { bias: bias.middle }),
    high: bound(weight.high, weight.low, bias.high),
  };
}

/** Of inputs from 0 on in a box: the positive part of a bound of W goes with the same of x, the negative one not. */
function hiddenLayer(rec: Recorder, x: Bounds, weight: Bounds, bias: Bounds): Bounds {
  const bound = (w: Tensor, own: Tensor, other: Tensor, b: Tensor) =>
    sub(rec, linear(rec, own, part(rec, w, 1), { bias: b }), linear(rec, other, part(rec, w, -1)));
  return {
    low: bound(weight.low, x.low, x.high, bias.low),
    middle: linear(rec, x.middle, weight.middle, { bias: bias.middle }),
    high: bound(weight.high, x.high, x.low, bias.high),
  };
}
