/** Arithmetic on weights by name, in f64, tensor by tensor. */
import type { Tensors } from "./contract.ts";

/** local - global, of every tensor that both have. */
export function updateOf(global: Tensors, local: Tensors): Tensors {
  return new Map([...local].map(([name, values]) => [name, values.map((value, i) => value - global.get(name)![i]!)]));
}

/** start + sum_k coefficients[k] terms[k]; `start` may be left out. All have the same tensors. */
export function weightedSum(
  coefficients: readonly number[],
  terms: readonly Tensors[],
  start?: Tensors | undefined,
): Tensors {
  const names = [...(start ?? terms[0] ?? new Map()).keys()];
  return new Map(names.map((name) => [name, summed(coefficients, ofName(terms, name), start?.get(name))]));
}

/** The values of one tensor from each. */
export const ofName = (terms: readonly Tensors[], name: string): Float32Array[] =>
  terms.map((term) => {
    const values = term.get(name);
    if (!values) throw new RangeError(`no tensor ${name}`);
    return values;
  });

/** start + sum_k coefficients[k] terms[k] of one tensor. */
export function summed(
  coefficients: readonly number[],
  terms: readonly Float32Array[],
  start?: Float32Array | undefined,
): Float32Array {
  const size = start?.length ?? terms[0]!.length;
  const sums = start ? Float64Array.from(start) : new Float64Array(size);
  for (const [k, values] of terms.entries()) {
    const factor = coefficients[k]!;
    if (factor !== 0) for (let i = 0; i < size; i++) sums[i]! += factor * values[i]!;
  }
  return Float32Array.from(sums);
}

/** Sum of products over all tensors of `a`. */
export function innerProduct(a: Tensors, b: Tensors): number {
  let sum = 0;
  for (const [name, values] of a) {
    const other = b.get(name)!;
    for (let i = 0; i < values.length; i++) sum += values[i]! * other[i]!;
  }
  return sum;
}

/** Zeros of the same names and sizes. */
export const zerosLike = (tensors: Tensors): Tensors =>
  new Map([...tensors].map(([name, { length }]) => [name, new Float32Array(length)]));

/** Numbers that sum to 1, in the proportion of the given ones; equal ones where all are 0. */
export function sharesOf(counts: readonly number[]): number[] {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => (total > 0 ? count / total : 1 / counts.length));
}

/** The bytes of values, as the device takes them. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
