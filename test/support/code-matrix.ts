/** Random matrices of codes, for tests of what multiplies with them. */
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { groupsOf, type QuantizedMatrix } from "../../src/checkpoint/quantized/matrix.ts";
import type { CodesForm } from "../../src/tensor/packed.ts";

/** A matrix of this form; `next` gives numbers from 0 to 1. */
export function randomCodes(form: CodesForm, rows: number, next: () => number): QuantizedMatrix {
  const { columns, bits, group, with: kind, indexed, scaleDtype } = form;
  const groups = groupsOf(form);
  const byte = () => Math.floor(next() * 2 ** bits);
  const floats = (scale: number) => {
    const values = Float32Array.from({ length: rows * groups }, () => (next() - 0.3) * scale);
    return decodeFloats(encodeFloats(values, scaleDtype), scaleDtype);
  };
  const order = Int32Array.from({ length: columns }, (_, column) => Math.floor(column / group));
  for (let i = columns - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return {
    ...{ rows, columns, bits, group },
    codes: Uint8Array.from({ length: rows * columns }, byte),
    scales: floats(2 / 2 ** bits),
    ...(kind === "zeros" ? { zeros: Uint8Array.from({ length: rows * groups }, byte) } : {}),
    ...(kind === "offsets" ? { offsets: floats(1) } : {}),
    ...(kind === "levels" ? { levels: Float32Array.from({ length: 2 ** bits }, () => next() * 2 ** bits) } : {}),
    ...(indexed ? { groupOf: order } : {}),
  };
}
