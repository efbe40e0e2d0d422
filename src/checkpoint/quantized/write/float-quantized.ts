/**
 * compressed-tensors float-quantized: e4m3 with a scale per row or one for all, which vLLM multiplies with activations
 * that it rounds to e4m3 token by token. ../compressed-bytes.ts says how the tensors lie.
 */
import { encodeBytes, planBytes } from "./byte-codes.ts";
import { type CompressedForm, compressedConfig } from "./compressed-config.ts";
import { firstOf, notLinear, oneOf, type WriteLayout } from "./contract.ts";
import { isFloatScale } from "./float-scales.ts";

const FORM: CompressedForm = { format: "float-quantized", type: "float", activations: "dynamic" };

export const layout: WriteLayout = {
  name: "float-quantized",
  about: "compressed-tensors, fp8 e4m3 for vLLM",
  scales: ["BF16", "F16", "F32"],
  mixes: false,

  fits(name, shape, { grid, points, group, reordered, scale }) {
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["fp8-e4m3"]),
      points !== "middle" && "floats have no zero points",
      typeof group === "number" && `it has a scale per row or one for all, not per ${group} columns`,
      reordered && "it keeps columns in their order",
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan: (name, shape, scheme) => planBytes("F8_E4M3", name, shape, scheme),
  encode: (name, matrix, scheme) => encodeBytes("F8_E4M3", name, matrix, scheme),
  config: (weights, ignored) => compressedConfig(FORM, weights, ignored),
};
