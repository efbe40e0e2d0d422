/**
 * compressed-tensors mxfp4-pack-quantized: e2m1 in groups of 32 whose scale is a power of two. OCP Microscaling Formats
 * 1.0; ../mxfp4-packed.ts says how the tensors lie.
 */
import { type CompressedForm, compressedConfig } from "./compressed-config.ts";
import { expectScheme, filled, info, nibbles, type WriteLayout } from "./contract.ts";
import { misfitOfFloats } from "./packed-floats.ts";

const FORM: CompressedForm = { format: "mxfp4-pack-quantized", type: "float" };
const GROUP = 32;
const BIAS = 127;

const plan: WriteLayout["plan"] = (name, shape) => {
  const [rows, columns] = [shape[0]!, shape[1]!];
  return [info(`${name}_packed`, "U8", [rows, columns / 2]), info(`${name}_scale`, "U8", [rows, columns / GROUP])];
};

export const layout: WriteLayout = {
  name: "mxfp4-pack-quantized",
  about: "compressed-tensors, 4-bit floats in groups of 32 with powers of two (W4A16)",
  scales: ["F8_E8M0"],
  mixes: false,

  fits: (name, shape, scheme) => misfitOfFloats(name, shape, scheme, { group: GROUP, scale: "F8_E8M0" }),

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, codes, scales } = matrix;
    return filled(plan(name, [rows, columns], scheme), [
      nibbles(codes, "low"),
      Uint8Array.from(scales, (scale) => (Number.isNaN(scale) ? 255 : Math.log2(scale) + BIAS)),
    ]);
  },

  config: (weights, ignored) => compressedConfig(FORM, weights, ignored),
};
