/**
 * Which numbers were put under a key of 32 bits, in 8 bytes each and what is free: open addressing over typed arrays,
 * where a Map takes a hundred bytes and more. Keys are hashes, so different things may share one.
 */

/** The most entries to places before the table grows. */
const LOAD = 0.75;
const GROWTH = 1.5;
const SMALLEST = 16;

export class KeyTable {
  #keys = new Uint32Array(SMALLEST);
  /** The number and 1; 0 where a place is free. */
  #values = new Uint32Array(SMALLEST);
  #count = 0;

  get bytes(): number {
    return this.#keys.byteLength + this.#values.byteLength;
  }

  /** Puts a number below 2^32 - 1 under a key, beside what is there. */
  add(key: number, value: number): void {
    if (this.#count + 1 > LOAD * this.#keys.length) this.#grow();
    this.#put(key, value + 1);
    this.#count++;
  }

  /** Gives every number under a key to `each`, in no order that counts. */
  find(key: number, each: (value: number) => void): void {
    const places = this.#keys.length;
    for (let at = this.#first(key); this.#values[at] !== 0; at = at + 1 === places ? 0 : at + 1)
      if (this.#keys[at] === key) each(this.#values[at]! - 1);
  }

  /** The place where a key's entries begin, at the same share of the table as the key is of all keys. */
  #first(key: number): number {
    return Math.floor((key / 2 ** 32) * this.#keys.length);
  }

  #put(key: number, held: number): void {
    const places = this.#keys.length;
    let at = this.#first(key);
    while (this.#values[at] !== 0) at = at + 1 === places ? 0 : at + 1;
    this.#keys[at] = key;
    this.#values[at] = held;
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    const places = Math.ceil(GROWTH * keys.length);
    [this.#keys, this.#values] = [new Uint32Array(places), new Uint32Array(places)];
    for (const [at, held] of values.entries()) if (held !== 0) this.#put(keys[at]!, held);
  }
}
