/**
 * Which share of each of several matrices goes where the smallest weights of all of them together go: as many in all as
 * the share says, of equal ones those of the first matrices. Host memory: 65,536 counts and three numbers a matrix.
 */
import { countOf } from "../tensor/weight-selection.ts";
import type { Survey } from "./pruner.ts";

const LOW_BITS = 15;

/** The bits of magnitudes, whose order as integers is theirs. */
const magnitudesOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length).map((bits) => bits & 0x7fffffff);

/** The first place at which counts add up to `wanted`, and how many are left of it there. */
function placeOf(counts: Float64Array, wanted: number): { readonly place: number; readonly left: number } {
  let left = wanted;
  for (const [place, count] of counts.entries()) {
    if (left <= count) return { place, left };
    left -= count;
  }
  return { place: counts.length, left: 0 };
}

export class GlobalCut implements Survey {
  /** High bits of the cut, then its low bits, then how many of each matrix lie below it and at it. */
  readonly passes = 3;
  readonly #share: number;
  #pass = 0;
  #total = 0;
  #counts = new Float64Array(2 ** 16);
  #cut = 0;
  /** Weights that go at the cut. */
  #left = 0;
  readonly #matrices: { readonly size: number; readonly below: number; readonly equal: number }[] = [];

  constructor(share: number) {
    this.#share = share;
  }

  see(values: Float32Array): void {
    const bits = magnitudesOf(values);
    if (this.#pass === 0) {
      this.#total += bits.length;
      for (const own of bits) this.#counts[own >>> LOW_BITS]!++;
    } else if (this.#pass === 1) {
      const high = this.#cut >>> LOW_BITS;
      for (const own of bits) if (own >>> LOW_BITS === high) this.#counts[own & (2 ** LOW_BITS - 1)]!++;
    } else {
      let [below, equal] = [0, 0];
      for (const own of bits)
        if (own < this.#cut) below++;
        else if (own === this.#cut) equal++;
      this.#matrices.push({ size: bits.length, below, equal });
    }
  }

  next(): void {
    if (this.#pass === 0) {
      const { place, left } = placeOf(this.#counts, countOf(this.#share, this.#total));
      this.#cut = place * 2 ** LOW_BITS;
      this.#left = left;
      this.#counts = new Float64Array(2 ** LOW_BITS);
    } else if (this.#pass === 1) {
      const { place, left } = placeOf(this.#counts, this.#left);
      this.#cut += place;
      this.#left = left;
    }
    this.#pass++;
  }

  shares(): number[] {
    let left = this.#left;
    return this.#matrices.map(({ size, below, equal }) => {
      const taken = Math.min(left, equal);
      left -= taken;
      // Half a weight more, so that the share is so many weights however it is rounded.
      return Math.min(1, (below + taken + 0.5) / size);
    });
  }
}
