/**
 * compressed-tensors int-quantized: bytes with a scale per row or one for all, which vLLM multiplies with activations
 * that it rounds to 8 bits token by token (W8A8). ../compressed-bytes.ts says how the tensors lie.
 */
import { encodeBytes, planBytes } from "./byte-codes.ts";
import { type CompressedForm, compressedConfig } from "./compressed-config.ts";
import { firstOf, notLinear, oneOf, type WriteLayout } from "./contract.ts";
import { isFloatScale } from "./float-scales.ts";

const FORM: CompressedForm = { format: "int-quantized", type: "int", activations: "dynamic" };

export const layout: WriteLayout = {
  name: "int-quantized",
  about: "compressed-tensors, integers of 8 bits for vLLM (W8A8)",
  scales: ["BF16", "F16", "F32"],
  mixes: false,

  fits(name, shape, { grid, bits, points, group, reordered, scale }) {
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, [8]),
      points === "offsets" && "it has zero points, no offsets",
      typeof group === "number" && `it has a scale per row or one for all, not per ${group} columns`,
      reordered && "it keeps columns in their order",
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan: (name, shape, scheme) => planBytes("I8", name, shape, scheme),
  encode: (name, matrix, scheme) => encodeBytes("I8", name, matrix, scheme),
  config: (weights, ignored) => compressedConfig(FORM, weights, ignored),
};
