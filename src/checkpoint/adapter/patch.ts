/** The low-rank change of one weight: factors checked against the weight's shape, and changes stacked on changes. */
import { UserError } from "../../errors.ts";
import {
  isRowPatch,
  isStackPatch,
  type LowRankPatch,
  type Patch,
  type RowPatch,
  type TensorEntry,
} from "../checkpoint.ts";
import { isFloat } from "../dtype.ts";
import { type AdapterConfig, scaleOf } from "./config.ts";
import type { Factor } from "./keys.ts";

/** Tensors of one adapted module, in f32. */
export type Factors = Partial<Record<Factor, { values: Float32Array; shape: readonly number[] }>>;

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
const text = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/**
 * The patch of `entry`. Convolutions count as matrices (out, in * height * width). Throws UserError naming the tensor
 * and both shapes where they disagree.
 */
export function patchOf(
  entry: TensorEntry,
  factors: Factors,
  module: string,
  config: AdapterConfig,
  where: string,
): LowRankPatch {
  const embedding = factors.embeddingA !== undefined || factors.embeddingB !== undefined;
  const a = embedding ? factors.embeddingA : factors.a;
  const b = embedding ? factors.embeddingB : factors.b;
  if (a === undefined || b === undefined) {
    const [has, lacks] = a === undefined ? ["B", "A"] : ["A", "B"];
    const found = (a ?? b) === undefined ? "neither lora_A nor lora_B" : `lora_${has} but no lora_${lacks}`;
    throw new UserError(`${module} in ${where} has ${found}`, "the adapter file is incomplete");
  }
  if (embedding && (factors.a !== undefined || factors.b !== undefined)) {
    throw new UserError(`${module} in ${where} is adapted both as a linear layer and as an embedding`);
  }
  if (!isFloat(entry.dtype)) {
    throw new UserError(
      `${entry.name} is ${entry.dtype} and ${where} adapts it, expected floats`,
      "apply the adapter to the base before it was quantized",
    );
  }

  const rank = a.shape[0] ?? 0;
  const outputs = b.shape[0] ?? 0;
  const transposed = embedding || config.fanInFanOut;
  const expected = transposed ? [...a.shape.slice(1), outputs] : [outputs, ...a.shape.slice(1)];
  const fits = rank > 0 && a.shape.length > 1 && product(b.shape.slice(1)) === rank && sameShape(expected, entry.shape);
  if (!fits || (transposed && entry.shape.length !== 2)) {
    const names = embedding ? ["lora_embedding_A", "lora_embedding_B"] : ["lora_A", "lora_B"];
    const turned = sameShape(expected.toReversed(), entry.shape) && entry.shape.length === 2;
    throw new UserError(
      `${names[0]} ${text(a.shape)} and ${names[1]} ${text(b.shape)} of ${module} in ${where} do not fit ${entry.name}, which is ${text(entry.shape)}`,
      turned
        ? `try fan_in_fan_out ${!config.fanInFanOut} in adapter_config.json`
        : "the adapter was trained on another base",
    );
  }

  const patch = { a: a.values, b: b.values, rank, scale: scaleOf(config, module, rank), transposed };
  const magnitude = factors.magnitude;
  if (magnitude === undefined) {
    if (config.dora) throw new UserError(`${module} in ${where} has no lora_magnitude_vector, but use_dora is set`);
    return patch;
  }
  if (magnitude.values.length !== outputs) {
    throw new UserError(
      `lora_magnitude_vector ${text(magnitude.shape)} of ${module} in ${where} does not fit ${entry.name}, which has ${outputs} outputs`,
    );
  }
  if (factors.bBias !== undefined) {
    throw new UserError(`${module} in ${where} has both a DoRA magnitude and a lora_B bias, which cannot be combined`);
  }
  return { ...patch, magnitude: magnitude.values };
}

const sameShape = (one: readonly number[], other: readonly number[]): boolean =>
  one.length === other.length && one.every((size, axis) => size === other[axis]);

/** A low-rank change of rows (out, in) in place, of which the first is row `first`. */
function addLowRank({ a, b, rank, scale }: LowRankPatch, rows: Float32Array, first: number): void {
  const into = a.length / rank;
  const row = new Float64Array(into);
  for (let at = 0; at < rows.length; at += into) {
    const o = first + at / into;
    row.set(rows.subarray(at, at + into));
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[o * rank + r]!;
      for (let i = 0; i < into; i++) row[i]! += factor * a[r * into + i]!;
    }
    rows.set(row, at);
  }
}

/** One change of rows after another. */
function inTurn(entry: TensorEntry, under: Patch, patch: Patch, where: string): RowPatch {
  if (!isRowPatch(under) || !isRowPatch(patch)) refuseDora(entry, [under, patch], where);
  if (under.transposed !== patch.transposed || isStackPatch(under) || isStackPatch(patch))
    throw new UserError(
      `${where} and an adapter before it both change ${entry.name}, and take its sides in different orders`,
      "write the first result to a folder, then apply the next to that",
    );
  const together = [under, patch].some((one) => isRowPatch(one) && one.together);
  return {
    change(rows, first) {
      for (const one of [under, patch])
        if (isRowPatch(one)) one.change(rows, first);
        else addLowRank(one, rows, first);
    },
    transposed: patch.transposed,
    ...(together ? { together } : {}),
  };
}

function refuseDora({ name }: TensorEntry, patches: readonly Patch[], where: string): void {
  if (patches.some((patch) => !isRowPatch(patch) && patch.magnitude !== undefined))
    throw new UserError(
      `${where} and an adapter before it both change ${name}, and one of them is DoRA`,
      "DoRA depends on the order: write the first result to a folder, then apply the next to that",
    );
}

/** Values of a whole matrix with its rows changed, in place. */
export function changeRows(patch: RowPatch, values: Float32Array, shape: readonly number[]): Float32Array {
  const [rows = 1, ...sides] = shape;
  const columns = product(sides);
  if (!patch.transposed) {
    patch.change(values, 0);
    return values;
  }
  const turned = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = values[r * columns + c]!;
  patch.change(turned, 0);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) values[r * columns + c] = turned[c * rows + r]!;
  return values;
}

/**
 * What `entry` needs once `patch` comes on top of the patch it may have. Low-rank changes are put side by side as one
 * of the summed rank, B = [s1 B1, s2 B2], A = [A1; A2], exact but for the rounding of s B; of others each sees what the
 * one before made. DoRA depends on the order and is refused.
 */
export function stackPatches(entry: TensorEntry, patch: Patch, where: string): Patch {
  const under = entry.patch;
  if (under === undefined) return patch;
  if (isRowPatch(under) || isRowPatch(patch)) return inTurn(entry, under, patch, where);
  refuseDora(entry, [under, patch], where);
  return sideBySide(under, patch);
}

function sideBySide(under: LowRankPatch, patch: LowRankPatch): LowRankPatch {
  const count = patch.experts ?? 1;
  const outputs = patch.b.length / patch.rank / count;
  const inputs = patch.a.length / patch.rank / count;
  const rank = under.rank + patch.rank;
  const [a, b] = [new Float32Array(count * rank * inputs), new Float32Array(count * outputs * rank)];
  for (let e = 0; e < count; e++) {
    let first = 0;
    for (const { rank: own, scale, a: left, b: right } of [under, patch]) {
      a.set(left.subarray(e * own * inputs, (e + 1) * own * inputs), (e * rank + first) * inputs);
      for (let o = e * outputs; o < (e + 1) * outputs; o++)
        for (let r = 0; r < own; r++) b[o * rank + first + r] = scale * right[o * own + r]!;
      first += own;
    }
  }
  return { ...patch, a, b, rank, scale: 1 };
}

/**
 * Adds the change of a patched stack (`experts`) to values of it, of which the first is the tensor's value `start`. In
 * f64.
 */
export function patchRange({ shape, patch }: TensorEntry, values: Float32Array, start: number): void {
  const { a, b, rank, scale, transposed } = patch as LowRankPatch;
  const [, second = 1, third = 1] = shape;
  const [out, into] = transposed ? [third, second] : [second, third];
  for (let at = 0; at < values.length; at++) {
    const column = (start + at) % third;
    const line = Math.floor((start + at) / third);
    const [e, row] = [Math.floor(line / second), line % second];
    const [o, i] = transposed ? [column, row] : [row, column];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b[(e * out + o) * rank + r]! * a[(e * rank + r) * into + i]!;
    values[at]! += scale * sum;
  }
}
