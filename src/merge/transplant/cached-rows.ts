/** Rows of a table that are asked for again and again: those used last stay in memory. */
import type { RowTable } from "../vocabulary/row-table.ts";

/** Bytes that are kept. */
const KEPT = 1 << 28;

export class CachedRows {
  readonly #table: RowTable;
  readonly #ids: Int32Array;
  readonly #most: number;
  readonly #held = new Map<number, Float32Array>();

  /** `ids`: the row of the table at each place. */
  constructor(table: RowTable, ids: Int32Array) {
    this.#table = table;
    this.#ids = ids;
    this.#most = Math.max(1024, Math.floor(KEPT / (4 * table.columns)));
  }

  /** Brings the rows at `places` in; negative ones are of no row. */
  async load(places: ArrayLike<number>): Promise<void> {
    const wanted = new Set(Array.from(places).filter((place) => place >= 0));
    const missing: number[] = [];
    for (const place of wanted) {
      const row = this.#held.get(place);
      this.#held.delete(place); // and stands last, as the one used last
      if (row) this.#held.set(place, row);
      else missing.push(place);
    }
    const values = await this.#table.gather(missing.map((place) => this.#ids[place]!));
    const { columns } = this.#table;
    for (const [i, place] of missing.entries()) this.#held.set(place, values.slice(i * columns, (i + 1) * columns));
    for (const place of this.#held.keys()) {
      if (this.#held.size <= Math.max(this.#most, wanted.size)) break;
      this.#held.delete(place);
    }
  }

  /** A row that was loaded by the last call. */
  row(place: number): Float32Array {
    return this.#held.get(place)!;
  }
}
