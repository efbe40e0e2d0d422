/**
 * How weights before rectifiers begin. config.json has `weight_init`: "he" keeps the variance of what goes through
 * (He et al., ICCV 2015, https://arxiv.org/abs/1502.01852); "ibp" the width of interval bounds, which He's multiplies
 * by sqrt(inputs / pi) at every layer (Shi et al., NeurIPS 2021, https://arxiv.org/abs/2103.17268): the sizes of a
 * unit's weights sum to 2, and a rectifier halves the width.
 */
import type { Json, ParameterSpec } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";

export type WeightInit = "he" | "ibp";

/** Reads what the config says. Throws UserError. */
export const weightInit = (c: ConfigReader): WeightInit => c.oneOf("weight_init", ["he", "ibp"], "he");

/** How config.json says it. */
export const initJson = (init: WeightInit): Json => (init === "he" ? {} : { weight_init: init });

/** Of a layer whose units read `inputs` numbers. */
export const initOf = (init: WeightInit, inputs: number): ParameterSpec["init"] => ({
  std: init === "he" ? Math.sqrt(2 / inputs) : Math.sqrt(2 * Math.PI) / inputs,
});
