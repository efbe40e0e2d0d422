/**
 * What writes matrices of codes in the layout of a tool: the opposite of a decoder.
 *
 * Headers are written before there is data, so that a layout says from shapes and schemes alone what it cannot hold
 * (`fits`), which tensors come (`plan`) and what config.json says of them (`config`). `encode` then gives the bytes, in
 * the order of the plan. Scales have to be exact in the type that the scheme names: `storedScales` makes them so.
 */
import type { JsonObject } from "../../../json.ts";
import type { TensorInfo } from "../../checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../dtype.ts";
import { LEVELS, type LevelsName } from "../levels.ts";
import { groupsOf, type QuantizedMatrix } from "../matrix.ts";
import { type ScaleDtype, storedScales } from "../scales.ts";

/** How a matrix is quantized, as it is known before its values are. */
export interface MatrixScheme {
  readonly bits: number;
  /** What codes stand for. */
  readonly grid: "integer" | LevelsName;
  /** Where integers have their 0: at 2^(bits - 1), at a zero point of the group, or at an offset in its place. */
  readonly points: "middle" | "zeros" | "offsets";
  /** Columns that share a scale; a row, or all values. */
  readonly group: number | "row" | "tensor";
  /** Columns of a group do not follow one another. */
  readonly reordered?: boolean;
  readonly scale: ScaleDtype;
  /** Type in which the rest of the model is stored and computed. */
  readonly plain: "F32" | "BF16" | "F16";
}

/** A tensor of the file with its bytes. */
export interface EncodedTensor extends TensorInfo {
  readonly data: Uint8Array;
}

export interface WriteLayout {
  /** As options name it. */
  readonly name: string;
  /** One line for people. */
  readonly about: string;
  /** Types of scales that it holds, the usual one first. */
  readonly scales: readonly ScaleDtype[];
  /** Whether matrices of one file may differ in their schemes. */
  readonly mixes: boolean;
  /** Why it cannot hold the weight of this name and shape: part of a sentence; undefined where it can. */
  fits(name: string, shape: readonly number[], scheme: MatrixScheme): string | undefined;
  /** The tensors that hold it. Only for what fits. */
  plan(name: string, shape: readonly number[], scheme: MatrixScheme): TensorInfo[];
  /** The same with their bytes. Throws RangeError for a matrix that is not of the scheme. */
  encode(name: string, matrix: QuantizedMatrix, scheme: MatrixScheme): EncodedTensor[];
  /**
   * Keys of config.json: of the quantized weights by name, of which there is one or more, and of the modules of linear
   * layers that stay as they are.
   */
  config(weights: ReadonlyMap<string, MatrixScheme>, ignored: readonly string[]): JsonObject;
}

/** `model.layers.0.mlp.up_proj` of the weight of that layer. */
export const moduleOf = (name: string): string => name.replace(/\.weight$/, "");

/** Columns of a group; all of them for a row or a tensor. */
export const groupColumns = ({ group }: Pick<MatrixScheme, "group">, columns: number): number =>
  typeof group === "number" ? Math.min(group, columns) : columns;

export const groupCount = (scheme: Pick<MatrixScheme, "group">, columns: number): number =>
  Math.ceil(columns / groupColumns(scheme, columns));

/** A tensor of a plan. */
export function info(name: string, dtype: Dtype, shape: readonly number[]): TensorInfo {
  return { name, dtype, shape, bytes: shape.reduce((product, side) => product * side, DTYPE_BYTES[dtype]) };
}

/** The planned tensors with their bytes, by the end of the names. Throws RangeError for bytes of another length. */
export function filled(plan: readonly TensorInfo[], data: readonly ArrayBufferView[]): EncodedTensor[] {
  return plan.map((tensor, k) => {
    const { buffer, byteOffset, byteLength } = data[k]!;
    if (byteLength !== tensor.bytes) {
      throw new RangeError(`${tensor.name} has ${byteLength} bytes; its plan says ${tensor.bytes}`);
    }
    return { ...tensor, data: new Uint8Array(buffer, byteOffset, byteLength) };
  });
}

/** Throws RangeError that says where a matrix is not of its scheme, or a scale not exact in its type. */
export function expectScheme(name: string, matrix: QuantizedMatrix, scheme: MatrixScheme): void {
  const fault = faultOf(matrix, scheme);
  if (fault !== undefined) throw new RangeError(`${name}: ${fault}`);
}

function faultOf(matrix: QuantizedMatrix, scheme: MatrixScheme): string | undefined {
  const { bits, levels, scales, zeros, offsets, columns, codes } = matrix;
  const points = offsets ? "offsets" : zeros ? "zeros" : "middle";
  if (bits !== scheme.bits) return `codes of ${bits} bits; the scheme has ${scheme.bits}`;
  if (points !== scheme.points) return `integers about ${points}; the scheme has ${scheme.points}`;
  const expected = scheme.grid === "integer" ? undefined : LEVELS[scheme.grid];
  if (levels?.length !== expected?.length || levels?.some((value, k) => !Object.is(value, expected![k]!))) {
    if (levels === undefined || !levels.every((value, k) => Number.isNaN(value) || value === expected?.[k])) {
      return `other levels than those of ${scheme.grid}`;
    }
  }
  if (codes.length !== matrix.rows * columns) return `${codes.length} codes for ${matrix.rows} x ${columns}`;
  if (groupsOf(matrix) !== groupCount(scheme, columns)) return `groups of ${matrix.group}, not ${scheme.group}`;
  if ((matrix.groupOf !== undefined) !== (scheme.reordered === true)) return "another order of columns than its scheme";
  if (scheme.group === "tensor" && scales.some((scale) => scale !== scales[0])) return "more scales than one";
  if (codes.some((code) => code >= 2 ** bits)) return `a code of more than ${bits} bits`;
  const stored = storedScales(scales, scheme.scale, matrix.divisor);
  const k = scales.findIndex((scale, at) => stored[at] !== scale && !Number.isNaN(scale));
  return k < 0 ? undefined : `scale ${scales[k]} is not exact in ${scheme.scale}`;
}

/** Why a shape is not that of a linear layer's weight; undefined where it is. */
export function notLinear(name: string, shape: readonly number[]): string | undefined {
  if (!name.endsWith(".weight")) return "it is not the weight of a linear layer";
  return shape.length === 2 ? undefined : `it has ${shape.length} sides, not two`;
}

/** The first reason that applies. */
export const firstOf = (...reasons: readonly (string | false | undefined)[]): string | undefined =>
  reasons.find((reason): reason is string => typeof reason === "string");

/** A reason where the value of a scheme is none of those that are held. */
export const oneOf = <T>(what: string, value: T, held: readonly T[]): string | false =>
  !held.includes(value) && `its ${what} ${held.length > 1 ? "are" : "is"} ${held.join(", ")}, not ${value}`;

/** Groups of modules by scheme, the largest first. */
export function bySchemes(weights: ReadonlyMap<string, MatrixScheme>): [MatrixScheme, string[]][] {
  const groups = Map.groupBy(weights, ([, scheme]) => JSON.stringify(scheme));
  const sorted = [...groups.values()].sort((a, b) => b.length - a.length);
  return sorted.map((own) => [own[0]![1], own.map(([name]) => moduleOf(name))]);
}

/** The one scheme of a layout that does not mix. Throws RangeError where there are several. */
export function onlyScheme(layout: string, weights: ReadonlyMap<string, MatrixScheme>): MatrixScheme {
  const schemes = bySchemes(weights);
  if (schemes.length !== 1) throw new RangeError(`${layout} holds one scheme, not ${schemes.length}`);
  return schemes[0]![0];
}

/** Whole bytes of codes, two to a byte: the first in the low half, or in the high one. */
export function nibbles(codes: Uint8Array, first: "low" | "high"): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  const [even, odd] = first === "low" ? [0, 4] : [4, 0];
  for (const [k, code] of codes.entries()) bytes[k >> 1]! |= code << (k % 2 === 0 ? even : odd);
  return bytes;
}

/** A table (rows, columns) as (columns, rows). */
export function transposed<T extends Float32Array | Uint8Array>(table: T, rows: number, columns: number): T {
  const turned = table.slice() as T;
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = table[r * columns + c]!;
  return turned;
}
