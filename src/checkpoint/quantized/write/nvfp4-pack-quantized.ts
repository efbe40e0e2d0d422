/**
 * compressed-tensors nvfp4-pack-quantized: e2m1 in groups of 16, scales e4m3 over one number for the matrix.
 *
 * vLLM runs q, k and v (gate and up) as one product and takes one of their numbers for all: give them the same divisor.
 * ../nvfp4.ts says how the tensors lie.
 */
import { encodeFloats } from "../../decode.ts";
import { type CompressedForm, compressedConfig } from "./compressed-config.ts";
import { expectScheme, filled, info, nibbles, type WriteLayout } from "./contract.ts";
import { misfitOfFloats } from "./packed-floats.ts";

const FORM: CompressedForm = { format: "nvfp4-pack-quantized", type: "float", strategy: "tensor_group" };
const GROUP = 16;

const plan: WriteLayout["plan"] = (name, shape) => {
  const [rows, columns] = [shape[0]!, shape[1]!];
  return [
    info(`${name}_global_scale`, "F32", [1]),
    info(`${name}_packed`, "U8", [rows, columns / 2]),
    info(`${name}_scale`, "F8_E4M3", [rows, columns / GROUP]),
  ];
};

export const layout: WriteLayout = {
  name: "nvfp4-pack-quantized",
  about: "compressed-tensors, 4-bit floats in groups of 16 with scales of 8 bits (W4A16)",
  scales: ["F8_E4M3"],
  mixes: false,

  fits: (name, shape, scheme) => misfitOfFloats(name, shape, scheme, { group: GROUP, scale: "F8_E4M3" }),

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, codes, scales, divisor = 1 } = matrix;
    return filled(plan(name, [rows, columns], scheme), [
      Float32Array.of(divisor),
      nibbles(codes, "low"),
      encodeFloats(
        scales.map((scale) => scale * divisor),
        "F8_E4M3",
      ),
    ]);
  },

  config: (weights, ignored) => compressedConfig(FORM, weights, ignored),
};
