/** Which of N weights are there: one bit each. */
import { permutation } from "../../data/random.ts";

export class BitMask {
  readonly size: number;
  /** 32 weights a word, the first in the lowest bit. */
  readonly words: Uint32Array;

  constructor(size: number, words = new Uint32Array(Math.ceil(size / 32))) {
    this.size = size;
    this.words = words;
  }

  has(i: number): boolean {
    return ((this.words[i >>> 5]! >>> (i & 31)) & 1) === 1;
  }

  set(i: number, on: boolean): void {
    if (on) this.words[i >>> 5]! |= 1 << (i & 31);
    else this.words[i >>> 5]! &= ~(1 << (i & 31));
  }

  get count(): number {
    let count = 0;
    for (let word of this.words) for (; word !== 0; word &= word - 1) count++;
    return count;
  }

  /** All that are on, ascending. */
  *places(): Generator<number> {
    for (let i = 0; i < this.size; i++) if (this.has(i)) yield i;
  }

  /** Becomes `count` places, all sets of so many equally likely by this key. Throws RangeError for more than N. */
  draw(count: number, ...key: readonly (string | number)[]): void {
    if (count > this.size) throw new RangeError(`${count} of ${this.size} places`);
    this.words.fill(0);
    if (count === this.size) for (let i = 0; i < count; i++) this.set(i, true);
    else {
      const order = permutation(this.size, ...key);
      for (let i = 0; i < count; i++) this.set(order(i), true);
    }
  }

  /** Becomes what this or another has. */
  add({ words }: BitMask): void {
    for (const [i, word] of words.entries()) this.words[i]! |= word;
  }
}

/** Numbers of 1 and 0, one a weight: `of(i)` says which. */
export const maskValues = (size: number, of: (i: number) => boolean): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => (of(i) ? 1 : 0));
