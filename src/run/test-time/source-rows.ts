/** Labelled rows that the source model was trained on, in batches of any size; the same ones for the same seed. */
import type { Example } from "../../data/examples.ts";
import { GroupOrder } from "../../data/groups.ts";

export class SourceRows {
  readonly rows: readonly Example[];
  readonly #seed: number;

  constructor(rows: readonly Example[], seed: number) {
    this.rows = rows;
    this.#seed = seed;
  }

  /** All rows in batches of `many`, in the order of the file; the last one may have fewer. */
  inOrder(many: number): (readonly Example[])[] {
    const count = Math.ceil(this.rows.length / many);
    return Array.from({ length: count }, (_, i) => this.rows.slice(i * many, (i + 1) * many));
  }

  /** Draws batches in an order of the seed and `use`: every row once, then every row once more in another order. */
  drawing(use: string): (many: number) => Example[] {
    const order = new GroupOrder(`source rows for ${use}`, this.rows.length, this.#seed);
    let drawn = 0;
    return (many) => Array.from({ length: many }, () => this.rows[order.at(drawn++)]!);
  }
}
