/** compressed-tensors with a code in a byte of its own, in the weight's own shape: what its two layouts share. */
import type { TensorInfo } from "../../checkpoint.ts";
import { encodeFloats } from "../../decode.ts";
import type { QuantizedMatrix } from "../matrix.ts";
import { type EncodedTensor, expectScheme, filled, groupCount, info, type MatrixScheme } from "./contract.ts";
import { floatScales } from "./float-scales.ts";

/** Scales (o, groups), or (1) for all values; zero points beside them. */
export function planBytes(
  dtype: "I8" | "F8_E4M3",
  name: string,
  shape: readonly number[],
  scheme: MatrixScheme,
): TensorInfo[] {
  const scales = scheme.group === "tensor" ? [1] : [shape[0]!, groupCount(scheme, shape[1]!)];
  return [
    info(name, dtype, shape),
    info(`${name}_scale`, floatScales(scheme.scale), scales),
    ...(scheme.points === "zeros" ? [info(`${name}_zero_point`, "I8", scales)] : []),
  ];
}

/** Integers are stored less 128, as signed bytes. */
export function encodeBytes(
  dtype: "I8" | "F8_E4M3",
  name: string,
  matrix: QuantizedMatrix,
  scheme: MatrixScheme,
): EncodedTensor[] {
  expectScheme(name, matrix, scheme);
  const { rows, columns, codes, scales, zeros } = matrix;
  const kept = <T extends Float32Array | Int8Array>(table: T) =>
    scheme.group === "tensor" ? table.subarray(0, 1) : table;
  const signed = (values: Uint8Array) => Int8Array.from(values, (value) => value - 128);
  return filled(planBytes(dtype, name, [rows, columns], scheme), [
    dtype === "I8" ? signed(codes) : codes,
    encodeFloats(Float32Array.from(kept(scales)), floatScales(scheme.scale)),
    ...(zeros ? [kept(signed(zeros))] : []),
  ]);
}
