/** Floats of every storage type and how far apart they are, for comparing kernels with references in f64. */
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import type { OperandDtype } from "../../src/tensor/load.ts";

export const OPERANDS: readonly OperandDtype[] = ["F32", "BF16", "F16"];

/** Sizes at which kernels go wrong: around a vector, a workgroup, a span of 4096 values, and primes. */
export const SIZES: readonly number[] = [1, 3, 4, 5, 251, 255, 257, 4093, 4095, 4096, 4097, 10_007, 65_537];

/** Half the distance between 1 and the next value: the largest relative error of one rounding. */
export const EPSILON: Record<OperandDtype, number> = { F32: 2 ** -24, F16: 2 ** -11, BF16: 2 ** -8 };

/** Largest error of one rounding near zero, where the exponent ends. */
export const TINIEST: Record<OperandDtype, number> = { F32: 2 ** -126, F16: 2 ** -25, BF16: 2 ** -126 };

/** Values as a storage type would hold them. */
export const rounded = (values: Float32Array, dtype: Dtype): Float32Array =>
  decodeFloats(encodeFloats(values, dtype), dtype);

/** One value as a storage type would hold it. */
export const roundOne = (value: number, dtype: Dtype): number => rounded(new Float32Array([value]), dtype)[0]!;

/** Where an f32 stands among all f32 values, so that neighbours differ by one and -0 equals 0. */
const rank = (value: number): number => {
  const word = new Int32Array(new Float32Array([value]).buffer)[0]!;
  return word < 0 ? -(word & 0x7fffffff) : word;
};

/** Number of f32 values between two. */
export const ulps = (a: number, b: number): number => Math.abs(rank(a) - rank(b));

/**
 * Throws unless every value lies within its tolerance of the reference, naming the worst. NaN and infinities must
 * agree. `tolerance` is a bound on the difference, per index.
 */
export function expectWithin(
  actual: Float32Array,
  expected: ArrayLike<number>,
  tolerance: (index: number) => number,
  what = "value",
): void {
  if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`);
  let worst = { ratio: 1, index: -1 };
  for (let i = 0; i < actual.length; i++) {
    const found = actual[i]!;
    const wanted = expected[i]!;
    if (Object.is(found, wanted) || found === wanted) continue;
    const difference = Math.abs(found - wanted);
    const ratio = Number.isFinite(difference) ? difference / tolerance(i) : Number.POSITIVE_INFINITY;
    if (ratio > worst.ratio) worst = { ratio, index: i };
  }
  const { index, ratio } = worst;
  if (index < 0) return;
  throw new Error(
    `${what} ${index} of ${actual.length} is ${actual[index]}, expected ${expected[index]}: ${ratio.toPrecision(3)} times the tolerance`,
  );
}
