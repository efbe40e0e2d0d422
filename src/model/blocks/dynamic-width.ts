/**
 * Hidden units that each input switches on: a predictor looks at what a layer reads and says which of its units will
 * fire; the others are 0 and need not be computed.
 *
 *   mask = [ W C softmax(pool(x)) + b > 0 ],  C channels of x, which takes no gradient from here
 *
 * config.json has `dynamic_width`: its `mass`, the share of what fires that a mask learns to keep; below 0 all units
 * stay. Elkerdawy et al., "Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask
 * Prediction", CVPR 2022, https://arxiv.org/abs/2110.08232, whose softmax is not multiplied by C: with it weights have
 * a usual size.
 */
import { scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs, Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";
import { gatedUnits, pooled, straightThrough } from "./gating.ts";

export interface DynamicWidth {
  readonly mass: number;
}

/** The key of config.json that says a model has such units. */
export const DYNAMIC_WIDTH = "dynamic_width";

/** Architectures that may have them. */
export const DYNAMIC_MODELS = ["mlp", "vit"] as const;

/** Reads it; undefined where all units are computed. Throws UserError. */
export function dynamicWidth(c: ConfigReader): DynamicWidth | undefined {
  const json = c.object(DYNAMIC_WIDTH);
  return json && { mass: new ConfigReader(json, `${c.where}: ${DYNAMIC_WIDTH}`).number("mass") };
}

/** How config.json says it. */
export const dynamicJson = (dynamic: DynamicWidth | undefined): Json => (dynamic ? { [DYNAMIC_WIDTH]: dynamic } : {});

/** Weights of a predictor, which begins with all units on. */
export const predictorParameters = (
  dynamic: DynamicWidth | undefined,
  module: string,
  into: number,
  out: number,
): ParameterSpec[] =>
  dynamic
    ? [
        { name: `${module}.weight`, shape: [out, into], init: { std: 0.01 } },
        { name: `${module}.bias`, shape: [out], init: "ones" },
      ]
    : [];

/** A layer whose units are switched. */
export interface DynamicLayer {
  /** Of its predictor. */
  readonly module: string;
  readonly layer: number;
  /** What the layer reads, (N, C). */
  readonly read: Tensor;
  /** Its units after the activation, (N, units). */
  readonly units: Tensor;
}

/**
 * The units with those at 0 that the predictor switches off. Notes `predictor.3` (rows, units), logits; `response.3`,
 * all units as they would be; `kept.3` (rows, units), the mask.
 */
export function dynamicUnits(
  net: Net,
  dynamic: DynamicWidth | undefined,
  { module, layer, read, units }: DynamicLayer,
  inputs: Inputs,
): Tensor {
  if (!dynamic || dynamic.mass < 0) return units;
  const { rec } = net;
  const seen = pooled(rec, stopGradient(rec, read), inputs);
  const shares = scale(rec, softmax(rec, seen), seen.shape.at(-1) ?? 1);
  const logits = net.note(`predictor.${layer}`, net.linear(shares, module));
  const response = net.note(`response.${layer}`, units);
  return gatedUnits(rec, response, net.note(`kept.${layer}`, straightThrough(rec, logits)));
}
