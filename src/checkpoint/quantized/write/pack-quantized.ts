/**
 * compressed-tensors pack-quantized, which vLLM runs with activations as they are (W4A16, W8A16): integers of 2, 4 or 8
 * bits in 32-bit words along a row, scales and zero points per group or row, columns in any order of groups.
 *
 * Other widths do not divide a word, and compressed-tensors then leaves bits unused. https://github.com/vllm-project/
 * compressed-tensors; ../compressed-packed.ts says how the tensors lie.
 */
import type { TensorInfo } from "../../checkpoint.ts";
import { encodeFloats } from "../../decode.ts";
import { put, wordsOf } from "../bits.ts";
import { type CompressedForm, compressedConfig } from "./compressed-config.ts";
import {
  expectScheme,
  filled,
  firstOf,
  groupCount,
  info,
  type MatrixScheme,
  notLinear,
  oneOf,
  type WriteLayout,
} from "./contract.ts";
import { floatScales, isFloatScale } from "./float-scales.ts";

const FORM: CompressedForm = { format: "pack-quantized", type: "int" };

function plan(name: string, shape: readonly number[], scheme: MatrixScheme): TensorInfo[] {
  const [rows, columns] = [shape[0]!, shape[1]!];
  const { bits, points, reordered, scale } = scheme;
  const groups = groupCount(scheme, columns);
  return [
    info(`${name}_packed`, "I32", [rows, wordsOf(columns, bits)]),
    info(`${name}_scale`, floatScales(scale), [rows, groups]),
    info(`${name}_shape`, "I64", [2]),
    ...(points === "zeros" ? [info(`${name}_zero_point`, "I32", [wordsOf(rows, bits), groups])] : []),
    ...(reordered ? [info(`${name}_g_idx`, "I32", [columns])] : []),
  ];
}

export const layout: WriteLayout = {
  name: "pack-quantized",
  about: "compressed-tensors, integers of 4 or 8 bits for vLLM (W4A16, W8A16)",
  scales: ["BF16", "F16", "F32"],
  mixes: true,

  fits(name, shape, { grid, bits, points, group, scale }) {
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, [2, 4, 8]),
      points === "offsets" && "it has zero points, no offsets",
      group === "tensor" && "it has a scale per group or row, not one for all",
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, bits, codes, scales, zeros, groupOf } = matrix;
    const [perRow, groups] = [wordsOf(columns, bits), groupCount(scheme, columns)];
    const packed = new Uint32Array(rows * perRow);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) put(packed, r * perRow, 1, c * bits, bits, codes[r * columns + c]!);
    }
    const points = new Uint32Array(wordsOf(rows, bits) * groups);
    for (const [k, zero] of (zeros ?? []).entries()) {
      put(points, k % groups, groups, Math.floor(k / groups) * bits, bits, zero);
    }
    return filled(plan(name, [rows, columns], scheme), [
      packed,
      encodeFloats(scales, floatScales(scheme.scale)),
      BigInt64Array.of(BigInt(rows), BigInt(columns)),
      ...(zeros ? [points] : []),
      ...(groupOf ? [groupOf] : []),
    ]);
  },

  config: (weights, ignored) => compressedConfig(FORM, weights, ignored),
};
