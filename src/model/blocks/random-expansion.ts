/**
 * A classifier's head on random features: the outputs are linear in relu(E h), with E drawn once and never trained, so
 * that a head which is fitted in closed form has more to tell classes apart by than the width of the model.
 *
 * As in analytic continual learning: Zhuang et al., NeurIPS 2022, https://arxiv.org/abs/2205.14922. config.json has
 * `head_expansion`: its `units` M and the `seed` that draws them.
 */
import { relu } from "../../tensor/ops/activation.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface HeadExpansion {
  readonly units: number;
  readonly seed: number;
}

/** The key of config.json that says a classifier has such a head. */
export const HEAD_EXPANSION = "head_expansion";

/** Modules in place of the linear head. */
const [UNITS, HEAD] = ["expansion", "expanded"];

/** Reads it; undefined where the head reads the features themselves. Throws UserError. */
export function headExpansion(c: ConfigReader): HeadExpansion | undefined {
  const json = c.object(HEAD_EXPANSION);
  if (!json) return undefined;
  const own = new ConfigReader(json, `${c.where}: ${HEAD_EXPANSION}`);
  return { units: own.count("units"), seed: own.number("seed", 0) };
}

/** How config.json says it. */
export const headExpansionJson = (expansion: HeadExpansion | undefined): Json =>
  expansion ? { [HEAD_EXPANSION]: expansion } : {};

/** Weights over `width` features: E (M, width), drawn so that units have the size of features; the head (K, M). */
export const headExpansionParameters = ({ units }: HeadExpansion, width: number, classes: number): ParameterSpec[] => [
  { name: `${UNITS}.weight`, shape: [units, width], init: { std: Math.sqrt(2 / width) }, linear: true, buffer: true },
  { name: `${HEAD}.weight`, shape: [classes, units], init: "zeros", linear: true },
];

/** Logits: hidden (N, width) -> (N, K). */
export const expandedLogits = (net: Pick<Net, "rec" | "linear">, hidden: Tensor): Tensor =>
  net.linear(relu(net.rec, net.linear(hidden, UNITS!)), HEAD!);
