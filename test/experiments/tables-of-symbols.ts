/** Rows whose symbols follow from the two before them by a table of their own, which takes a network to know. */
import { type Row, rowOf } from "./curriculum-lab.ts";
import { uniform } from "./support.ts";

/** Share of the symbols that the table says; the others are drawn. */
const SURE = 0.9;

export class Tables {
  readonly #table: readonly number[];
  readonly #first: number;
  readonly #size: number;

  /** Symbols are `first` to `first + size - 1`. */
  constructor(seed: number, first: number, size: number) {
    const next = uniform(seed);
    this.#first = first;
    this.#size = size;
    this.#table = Array.from({ length: size ** 2 }, () => Math.floor(next() * size));
  }

  /** Rows of 20 symbols, of which the first two carry no loss. */
  rows(count: number, seed: number): Row[] {
    const next = uniform(seed);
    const any = () => Math.floor(next() * this.#size);
    return Array.from({ length: count }, () => {
      const ids = [any(), any()];
      while (ids.length < 20) ids.push(next() < SURE ? this.#table[ids.at(-2)! * this.#size + ids.at(-1)!]! : any());
      return rowOf(
        ids.map((id) => id + this.#first),
        2,
      );
    });
  }
}
