/**
 * AWQ in the GEMM packing: integers of 4 bits along the outputs, eight to a word in the order of the tool. Always with
 * zero points; a symmetric matrix has those of its middle. ../awq.ts says how the tensors lie.
 */
import { encodeFloats } from "../../decode.ts";
import { AWQ_SHIFTS } from "../awq-order.ts";
import {
  expectScheme,
  filled,
  firstOf,
  groupCount,
  info,
  moduleOf,
  notLinear,
  oneOf,
  onlyScheme,
  transposed,
  type WriteLayout,
} from "./contract.ts";
import { floatScales, isFloatScale } from "./float-scales.ts";

const PER_WORD = 8;

const plan: WriteLayout["plan"] = (name, shape, scheme) => {
  const [rows, columns] = [shape[0]!, shape[1]!];
  const groups = groupCount(scheme, columns);
  const stem = moduleOf(name);
  return [
    info(`${stem}.qweight`, "I32", [columns, rows / PER_WORD]),
    info(`${stem}.qzeros`, "I32", [groups, rows / PER_WORD]),
    info(`${stem}.scales`, floatScales(scheme.scale), [groups, rows]),
  ];
};

/** A table (rows, columns) of nibbles as words (columns, rows / 8). */
function packed(table: Uint8Array, rows: number, columns: number): Uint32Array {
  const words = new Uint32Array((columns * rows) / PER_WORD);
  for (let r = 0; r < rows; r++) {
    const shift = AWQ_SHIFTS[r % PER_WORD]!;
    const word = Math.floor(r / PER_WORD);
    for (let c = 0; c < columns; c++) words[c * (rows / PER_WORD) + word]! |= table[r * columns + c]! << shift;
  }
  return words;
}

export const layout: WriteLayout = {
  name: "awq",
  about: "AWQ in the GEMM packing, integers of 4 bits",
  scales: ["F16", "BF16", "F32"],
  mixes: false,

  fits(name, shape, { grid, bits, points, group, reordered, scale }) {
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, [4]),
      points === "offsets" && "it has zero points, no offsets",
      group === "tensor" && "it has a scale per group or row, not one for all",
      reordered && "it keeps columns in their order",
      shape[0]! % PER_WORD !== 0 && `its ${shape[0]} rows are no multiple of ${PER_WORD}`,
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, codes, scales, zeros = new Uint8Array(scales.length).fill(8) } = matrix;
    const groups = groupCount(scheme, columns);
    return filled(plan(name, [rows, columns], scheme), [
      packed(codes, rows, columns),
      packed(zeros, rows, groups),
      encodeFloats(transposed(scales, rows, groups), floatScales(scheme.scale)),
    ]);
  },

  config(weights, ignored) {
    const { bits, group } = onlyScheme("AWQ", weights);
    return {
      quantization_config: {
        quant_method: "awq",
        bits,
        group_size: typeof group === "number" ? group : -1,
        zero_point: true,
        version: "gemm",
        modules_to_not_convert: ignored.length > 0 ? ignored.map(moduleOf) : null,
      },
    };
  },
};
