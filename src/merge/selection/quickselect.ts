/** Order statistics on the host, without sorting. */
import type { Cut } from "./ranked.ts";

/** Partially sorts so that `values[k]` is what a full ascending sort would put there; returns it. */
export function quickselect(values: Uint32Array, k: number): number {
  let left = 0;
  let right = values.length - 1;
  while (left < right) {
    const pivot = values[(left + right) >> 1]!;
    let i = left;
    let j = right;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i <= j) {
        const swap = values[i]!;
        values[i++] = values[j]!;
        values[j--] = swap;
      }
    }
    if (k <= j) right = j;
    else if (k >= i) left = i;
    else break;
  }
  return values[k]!;
}

/** The r-th (from 0) largest of (bits, index) pairs: larger bits first, of equal bits the lower index. */
export function pick(pairs: Uint32Array, r: number): Cut {
  const count = pairs.length / 2;
  const all = new Uint32Array(count);
  for (let i = 0; i < count; i++) all[i] = pairs[2 * i]!;
  const bits = quickselect(all, count - 1 - r);
  let larger = 0;
  const indices: number[] = [];
  for (let i = 0; i < count; i++) {
    if (pairs[2 * i]! > bits) larger++;
    else if (pairs[2 * i] === bits) indices.push(pairs[2 * i + 1]!);
  }
  return { bits, index: quickselect(Uint32Array.from(indices), r - larger) };
}
