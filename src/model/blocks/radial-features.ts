/**
 * Features of points of few numbers, before a perceptron's first layer: radial kernels whose centres and shapes are
 * learnt, at several frequencies, beside grids of several resolutions.
 *
 *   phi_k = 1 / (1 + |A_k (x - c_k)|^2)     of the K kernels that are largest at x; the others are 0
 *   feature_j = sum_k sin(m_j phi_k) v_kj   m_j spread in their logarithm
 *
 * Far from all centres features go to 0. A grid's features are linear between its nodes, which lie evenly over -1 to 1,
 * and 0 one step beyond them. With `sine_high` the first hidden layer is h + sin(h w), w spread in their logarithm over
 * its units.
 *
 * Chen et al., NeuRBF, ICCV 2023, https://arxiv.org/abs/2309.15426. Centres begin at random and not where the target
 * changes most, A_k = diag(s exp(a_k)) + B_k with a and B from 0, and kernels are compared by their own measure.
 *
 * config.json has `radial`: `centres`, `nearest` (4), `features` (16), `lowest` and `highest` frequency (1/8 and 4096),
 * `spread` s (centres^(1 / inputs)), `sine_low` and `sine_high` (0: none), `grids` (nodes along each axis, by grid) and
 * `grid_features` (2). With `centres` 0 there are grids alone.
 */

import { UserError } from "../../errors.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { abs, add, addScalar, cos, div, exp, mul, scale, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { topCount } from "../../tensor/ops/top-mass.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface RadialFeatures {
  readonly centres: number;
  readonly nearest: number;
  readonly features: number;
  readonly lowest: number;
  readonly highest: number;
  readonly spread: number;
  readonly sine_low: number;
  readonly sine_high: number;
  readonly grids: readonly number[];
  readonly grid_features: number;
}

/** The key of config.json. */
const RADIAL = "radial";
/** Most nodes of a grid, which every row looks at. */
const MOST_NODES = 2 ** 16;

/** Reads it; undefined where the first layer reads the input itself. Throws UserError. */
export function radialFeatures(c: ConfigReader, input: number): RadialFeatures | undefined {
  const json = c.object(RADIAL);
  if (!json) return undefined;
  const where = `${c.where}: ${RADIAL}`;
  const own = new ConfigReader(json, where);
  const centres = own.countOrNone("centres");
  const grids = own.counts("grids", []);
  if (centres === 0 && grids.length === 0)
    throw new UserError(`${where} has neither centres nor grids`, "give one of them");
  const large = grids.find((nodes) => nodes < 2 || nodes ** input > MOST_NODES);
  if (large !== undefined)
    throw new UserError(
      `${where}: a grid of ${large} nodes along each of ${input} axes`,
      `give 2 or more along each, and at most ${MOST_NODES} in all`,
    );
  const positive = { least: 0, open: true } as const;
  const found = {
    ...{ centres, nearest: own.count("nearest", 4), features: own.count("features", 16) },
    ...{ lowest: own.number("lowest", 0.125, positive), highest: own.number("highest", 4096, positive) },
    spread: own.number("spread", Math.max(1, centres) ** (1 / input), positive),
    ...{ sine_low: own.number("sine_low", 10), sine_high: own.number("sine_high", 0) },
    ...{ grids, grid_features: own.count("grid_features", 2) },
  };
  if (found.highest < found.lowest || (found.sine_high > 0 && found.sine_high < found.sine_low))
    throw new UserError(`${where}: a highest frequency below the lowest`, "let them rise");
  return found;
}

/** How config.json says it. */
export const radialJson = (radial: RadialFeatures | undefined): Json =>
  radial ? { [RADIAL]: { ...radial, grids: [...radial.grids] } } : {};

/** `count` numbers from low to high, evenly in their logarithm. */
const spreadOver = (low: number, high: number, count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => (count === 1 ? low : low * (high / low) ** (i / (count - 1))));

/** Numbers that the first layer's own weight reads in the place of the input; 0: it has none, beside those of grids. */
export const radialWidth = ({ centres, features }: RadialFeatures): number => (centres > 0 ? features : 0);

/** Weights before the first layer of `hidden` units, for points of `input` numbers. */
export function radialParameters(
  { centres, features, grids, grid_features: own }: RadialFeatures,
  input: number,
  hidden: number,
): ParameterSpec[] {
  const kernels: ParameterSpec[] = [
    { name: "radial.centres", shape: [centres, input], init: { std: 0.6 }, small: true },
    { name: "radial.scales", shape: [centres, input], init: "zeros", small: true },
    { name: "radial.shears", shape: [centres, input, input], init: "zeros", small: true },
    { name: "radial.values", shape: [centres, features], init: { std: 0.3 }, small: true },
  ];
  return [
    ...(centres > 0 ? kernels : []),
    ...grids.flatMap((nodes, i): ParameterSpec[] => [
      { name: `grids.${i}.weight`, shape: [own, nodes ** input], init: { std: 0.1 }, small: true },
      {
        ...{ name: `grid_layers.${i}.weight`, shape: [hidden, own], small: true },
        init: { std: Math.sqrt(2 / (own * grids.length)) },
      },
    ]),
  ];
}

/** Features by kernels: x (N, D) -> (N, F). */
function kernelFeatures(net: Net, radial: RadialFeatures, x: Tensor): Tensor {
  const { rec } = net;
  const { centres: m, nearest, features, lowest, highest, spread } = radial;
  const [n = 0, d = 0] = x.shape;
  const away = sub(rec, rec.reshape(x, [n, 1, d]), rec.reshape(net.weight("radial.centres"), [1, m, d])); // (N, M, D)
  const scales = scale(rec, exp(rec, net.weight("radial.scales")), spread);
  const stretched = mul(rec, away, rec.reshape(scales, [1, m, d]));
  // (N, M, D', D): the shears of every centre.
  const sheared = mul(rec, rec.reshape(away, [n, m, 1, d]), rec.reshape(net.weight("radial.shears"), [1, m, d, d]));
  const moved = add(rec, stretched, rec.reshape(sumTo(rec, sheared, [n, m, d, 1]), [n, m, d]));
  const far = rec.reshape(sumTo(rec, square(rec, moved), [n, m, 1]), [n, m]);
  const one = rec.constant(Float32Array.of(1), [1, 1], "one");
  const phi = div(rec, one, addScalar(rec, far, 1)); // (N, M)
  const kept = m > nearest ? mul(rec, phi, topCount(rec, phi, nearest)) : phi;
  const m_j = rec.constant(spreadOver(lowest, highest, features), [1, 1, features], "frequencies");
  const waves = sine(rec, mul(rec, rec.reshape(net.note("radial", kept), [n, m, 1]), m_j)); // (N, M, F)
  const weighed = mul(rec, waves, rec.reshape(net.weight("radial.values"), [1, m, features]));
  return rec.reshape(sumTo(rec, weighed, [n, 1, features]), [n, features]);
}

const sine = (rec: Recorder, x: Tensor): Tensor => cos(rec, addScalar(rec, x, -Math.PI / 2));

/** How much each node of a grid counts for each row: (N, D) -> (N, nodes^D). */
function nodeWeights(rec: Recorder, x: Tensor, nodes: number): Tensor {
  const [n = 0, d = 0] = x.shape;
  const places = Float32Array.from({ length: nodes }, (_, i) => -1 + (2 * i) / (nodes - 1));
  const grid = rec.constant(places, [1, 1, nodes], `nodes of a grid of ${nodes}`);
  const away = abs(rec, sub(rec, rec.reshape(x, [n, d, 1]), grid)); // (N, D, nodes)
  const hats = relu(rec, addScalar(rec, scale(rec, away, -(nodes - 1) / 2), 1));
  const axis = (i: number): Tensor => {
    const chosen = rec.constant(
      Float32Array.from({ length: d }, (_, j) => (i === j ? 1 : 0)),
      [1, d, 1],
      `axis ${i}`,
    );
    return rec.reshape(sumTo(rec, mul(rec, hats, chosen), [n, 1, nodes]), [n, nodes]);
  };
  let all = axis(0);
  for (let i = 1; i < d; i++) {
    const before = nodes ** i;
    all = rec.reshape(mul(rec, rec.reshape(all, [n, before, 1]), rec.reshape(axis(i), [n, 1, nodes])), [
      n,
      before * nodes,
    ]);
  }
  return all;
}

/** The first layer `module` on features of points: x (N, D) -> (N, hidden), before its activation. */
export function radialLayer(net: Net, radial: RadialFeatures, module: string, x: Tensor): Tensor {
  const { rec } = net;
  const bias = net.weight(`${module}.bias`);
  const parts = radial.grids.map((nodes, i) => {
    const own = linear(rec, nodeWeights(rec, x, nodes), net.weight(`grids.${i}.weight`));
    return linear(rec, own, net.weight(`grid_layers.${i}.weight`));
  });
  const first =
    radial.centres > 0
      ? [net.linear(kernelFeatures(net, radial, x), module)]
      : parts.splice(0, 1).map((part) => add(rec, part, bias));
  const h = [...first, ...parts].reduce((sum, part) => add(rec, sum, part));
  const { sine_low: low, sine_high: high } = radial;
  if (high === 0) return h;
  const width = h.shape.at(-1) ?? 1;
  return add(
    rec,
    h,
    sine(rec, mul(rec, h, rec.constant(spreadOver(low, high, width), [1, width], "sine frequencies"))),
  );
}
