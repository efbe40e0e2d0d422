/** Places of rows, "rows.jsonl:12", by number: 8 bytes each where they are a name that came before and a line. */

export class RowPlaces {
  readonly #names: string[] = [];
  readonly #known = new Map<string, number>();
  /** By place: the name, and the line. */
  #of = new Uint32Array(2048);
  /** Places that are no name and line. */
  readonly #others = new Map<number, string>();
  #count = 0;

  /** Keeps the next one; gives its number, from 0. */
  add(place: string): number {
    const at = this.#count++;
    if (2 * this.#count > this.#of.length) {
      const more = new Uint32Array(Math.ceil(1.5 * this.#of.length));
      more.set(this.#of);
      this.#of = more;
    }
    const colon = place.lastIndexOf(":");
    const line = Number(place.slice(colon + 1));
    const isLine = colon >= 0 && line < 2 ** 32 && `${place.slice(0, colon)}:${line}` === place;
    if (!isLine) this.#others.set(at, place);
    else {
      const name = place.slice(0, colon);
      const number = this.#known.get(name) ?? this.#names.push(name) - 1;
      this.#known.set(name, number);
      this.#of.set([number, line], 2 * at);
    }
    return at;
  }

  at(number: number): string {
    return this.#others.get(number) ?? `${this.#names[this.#of[2 * number]!]}:${this.#of[2 * number + 1]}`;
  }
}
