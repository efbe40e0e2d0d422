/**
 * MLX affine, as mlx.core.quantize packs it and mlx_lm reads it: integers of 2, 3, 4, 5, 6 or 8 bits in groups of 32,
 * 64 or 128 columns, a scale and an offset each. Stacks of matrices are held as one. ../mlx.ts says how the tensors
 * lie.
 *
 * mlx_lm quantizes what has scales beside it: layers that stay as they are need no word in the config, those of another
 * width have theirs by path.
 */
import type { TensorInfo } from "../../checkpoint.ts";
import { encodeFloats } from "../../decode.ts";
import { put, wordsOf } from "../bits.ts";
import type { QuantizedMatrix } from "../matrix.ts";
import {
  bySchemes,
  type EncodedTensor,
  expectScheme,
  filled,
  firstOf,
  groupCount,
  info,
  type MatrixScheme,
  moduleOf,
  oneOf,
  type WriteLayout,
} from "./contract.ts";
import { floatScales, isFloatScale } from "./float-scales.ts";

const WIDTHS = [2, 3, 4, 5, 6, 8];
const GROUPS = [32, 64, 128];

function plan(name: string, shape: readonly number[], scheme: MatrixScheme): TensorInfo[] {
  const [lead, columns] = [shape.slice(0, -1), shape.at(-1)!];
  const stem = moduleOf(name);
  const dtype = floatScales(scheme.scale);
  const groups = groupCount(scheme, columns);
  return [
    info(name, "U32", [...lead, wordsOf(columns, scheme.bits)]),
    info(`${stem}.scales`, dtype, [...lead, groups]),
    info(`${stem}.biases`, dtype, [...lead, groups]),
  ];
}

/** The tensors of a matrix; `shape` is that of a stack whose rows it has. */
export function encodeStack(
  name: string,
  matrix: QuantizedMatrix,
  scheme: MatrixScheme,
  shape: readonly number[],
): EncodedTensor[] {
  expectScheme(name, matrix, scheme);
  const { rows, columns, bits, codes, scales, offsets = new Float32Array(scales.length) } = matrix;
  const perRow = wordsOf(columns, bits);
  const packed = new Uint32Array(rows * perRow);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) put(packed, r * perRow, 1, c * bits, bits, codes[r * columns + c]!);
  }
  const dtype = floatScales(scheme.scale);
  return filled(plan(name, shape, scheme), [packed, encodeFloats(scales, dtype), encodeFloats(offsets, dtype)]);
}

export const layout: WriteLayout = {
  name: "mlx",
  about: "MLX affine, integers of 2, 3, 4, 5, 6 or 8 bits with offsets",
  scales: ["BF16", "F16", "F32"],
  mixes: true,

  fits(name, shape, { grid, bits, points, group, reordered, scale }) {
    const columns = shape.at(-1)!;
    return firstOf(
      !name.endsWith(".weight") && "it is not the weight of a layer",
      shape.length < 2 && `it has ${shape.length} sides, not two or more`,
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, WIDTHS),
      oneOf("groups", group, GROUPS),
      points !== "offsets" && "it has offsets, no zero points",
      reordered && "it keeps columns in their order",
      typeof group === "number" && columns % group !== 0 && `its ${columns} columns are no whole groups of ${group}`,
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan,

  encode: (name, matrix, scheme) => encodeStack(name, matrix, scheme, [matrix.rows, matrix.columns]),

  config(weights) {
    const [[scheme], ...others] = bySchemes(weights) as [[MatrixScheme, string[]], ...[MatrixScheme, string[]][]];
    const of = ({ bits, group }: MatrixScheme) => ({ group_size: Number(group), bits, mode: "affine" });
    const own = others.flatMap(([other, modules]) => modules.map((module) => [module, of(other)] as const));
    const settings = { ...of(scheme), ...Object.fromEntries(own) };
    return { quantization: settings, quantization_config: settings };
  },
};
