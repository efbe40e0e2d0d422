/** The difference of two tensors, and whether there is one. */
import { mergeOnCpu } from "../../checkpoint/adapter/adapter.ts";
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { sameBytes } from "../../checkpoint/same-bytes.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";

const PIECE = 2 ** 22;

/** Bytes of a tensor, an adapter's change applied. */
async function pieceOf(entry: TensorEntry, first: number, count: number): Promise<Float32Array> {
  const width = entry.bytes / entry.shape.reduce((all, side) => all * side, 1);
  const bytes = new Uint8Array(count * width);
  await entry.read(bytes, first * width);
  return decodeFloats(bytes, entry.dtype);
}

const sizeOf = ({ shape }: TensorEntry): number => shape.reduce((all, side) => all * side, 1);

/** All values in f32, as a merged checkpoint would hold them. */
const valuesOf = (entry: TensorEntry): Promise<Float32Array> =>
  entry.patch === undefined ? pieceOf(entry, 0, sizeOf(entry)) : mergeOnCpu(entry);

/** Throws UserError for a value that is not finite. */
function expectFinite(values: Float32Array, name: string, where: string): void {
  if (!values.every(Number.isFinite))
    throw new UserError(
      `${show(name)} in ${where} holds NaN or infinity`,
      "bun run inspect MODEL --check finds all such tensors",
    );
}

/** What a subtraction gives, and how large its terms were. */
export interface Difference {
  /** tuned - base, f32. */
  readonly values: Float32Array;
  /** Sum of the squares of the difference, and of the base's values. */
  readonly squares: number;
  readonly before: number;
}

/** Two tensors on the host at once. Throws UserError for NaN and infinity. */
export async function differenceOf(
  tuned: TensorEntry,
  base: TensorEntry,
  refs: { readonly tuned: string; readonly base: string },
): Promise<Difference> {
  const values = await valuesOf(tuned);
  const before = await valuesOf(base);
  expectFinite(values, tuned.name, refs.tuned);
  expectFinite(before, base.name, refs.base);
  let [squares, own] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const old = before[i]!;
    values[i]! -= old;
    squares += values[i]! ** 2;
    own += old ** 2;
  }
  return { values, squares, before: own };
}

/** Whether two tensors of one shape differ in a value. Reads a piece at a time. */
export async function differs(tuned: TensorEntry, base: TensorEntry): Promise<boolean> {
  if (tuned.patch || base.patch) {
    const [one, other] = [await valuesOf(tuned), await valuesOf(base)];
    return one.some((value, i) => value !== other[i]);
  }
  const isNumber = tuned.dtype.startsWith("F") || tuned.dtype.startsWith("BF");
  if (!isNumber || tuned.dtype === base.dtype) return !(await sameBytes(tuned, base));
  const count = sizeOf(tuned);
  for (let at = 0; at < count; at += PIECE) {
    const length = Math.min(PIECE, count - at);
    const [one, other] = await Promise.all([pieceOf(tuned, at, length), pieceOf(base, at, length)]);
    if (one.some((value, i) => value !== other[i])) return true;
  }
  return false;
}
