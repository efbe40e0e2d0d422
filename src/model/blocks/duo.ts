/**
 * Feed-forward networks in two sizes: a small one beside the big one of every block, of which a token takes one or
 * none.
 *
 *   y = h + r(h),  r the big network, the small one, or 0
 *
 * The big one is taken, unless a recording is told otherwise. Where one of both is trained, every layer draws its way
 * anew for every batch, so that each network learns beside all ways of the others. Alizadeh et al., Duo-LLM: A
 * Framework for Studying Adaptive Computation in Large Language Models, 2024, https://arxiv.org/abs/2410.10846
 */
import { addScalar, isPositive, mul, neg, add as plus, square } from "../../tensor/ops/elementwise.ts";
import { normalNoise } from "../../tensor/ops/noise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Net, ParameterSpec } from "../architecture.ts";
import { gatedMlp, mlpSpecs } from "./decoder.ts";
import type { DecoderConfig } from "./decoder-config.ts";

export interface DuoConfig extends DecoderConfig {
  /** Hidden units of the small networks. */
  readonly smallInner: number;
  /** How likely a layer in training takes neither; the two sizes share the rest evenly. */
  readonly skip: number;
}

/** How much of a layer's big and of its small network is added: (1, 1), or (N, 1) for a way of each token. */
export interface LayerWay {
  readonly big: Tensor;
  readonly small: Tensor;
}

const told = new WeakMap<Recorder, (layer: number) => LayerWay>();

/** Says which way layers go, before the model is recorded. */
export const tellWays = (rec: Recorder, ways: (layer: number) => LayerWay): void => {
  told.set(rec, ways);
};

const [BIG, SMALL] = ["mlp", "small_mlp"];

/** A weight that every layer of such a model has, and no other model. */
export const SMALL_WEIGHT = `model.layers.0.${SMALL}.down_proj.weight`;

export const duoSpecs = (c: DuoConfig, prefix: string): ParameterSpec[] => [
  ...mlpSpecs(c, `${prefix}.${BIG}`),
  ...mlpSpecs(c, `${prefix}.${SMALL}`, c.smallInner),
];

/** A way that is drawn by (name of the layer, seed of the run): of 1 and 0. */
function drawnWay(rec: Recorder, prefix: string, skip: number): LayerWay {
  const zero = rec.constant(new Float32Array(1), [1, 1], "no way");
  const draw = (name: string) => normalNoise(rec, zero, `${prefix}.${name}`);
  const is = isPositive(rec, draw("size"));
  const not = addScalar(rec, neg(rec, is), 1);
  if (skip === 0) return { big: is, small: not };
  // The sum of the squares of two standard normal values is above t with probability exp(-t / 2).
  const length = plus(rec, square(rec, draw("skip")), square(rec, draw("skip too")));
  const stays = isPositive(rec, neg(rec, addScalar(rec, length, 2 * Math.log(skip))));
  return { big: mul(rec, is, stays), small: mul(rec, not, stays) };
}

/** (N, C) normalized states to (N, C), with `add` added where it is given. */
export function duoMlp(net: Net, c: DuoConfig, prefix: string, layer: number, h: Tensor, add?: Tensor): Tensor {
  const { rec } = net;
  const learns = () => [BIG, SMALL].some((name) => net.weight(`${prefix}.${name}.down_proj.weight`).needsGrad);
  const way = told.get(rec)?.(layer) ?? (rec.training && learns() ? drawnWay(rec, prefix, c.skip) : undefined);
  if (!way) return gatedMlp(net, c, `${prefix}.${BIG}`, h, add);
  const big = mul(rec, gatedMlp(net, c, `${prefix}.${BIG}`, h), way.big);
  const small = mul(rec, gatedMlp(net, c, `${prefix}.${SMALL}`, h), way.small);
  const both = plus(rec, big, small);
  return add ? plus(rec, add, both) : both;
}
