/** Arrays of bytes that reads of quantised tensors share one after the other. */

/** Gives arrays of bytes whose contents are undefined. */
export type TakeBytes = (bytes: number) => Uint8Array<ArrayBuffer>;

/**
 * Arrays that are used again, up to a bound. A collector that sees megabytes as small objects lets a hundred of them
 * gather before it works.
 */
export class SpareArrays {
  readonly #most: number;
  readonly #idle = new Map<number, Uint8Array<ArrayBuffer>[]>();
  #bytes = 0;

  /** `most`: bytes that are kept while nothing uses them. */
  constructor(most: number) {
    this.#most = most;
  }

  take(bytes: number): Uint8Array<ArrayBuffer> {
    const found = this.#idle.get(bytes)?.pop();
    if (found === undefined) return new Uint8Array(bytes);
    this.#bytes -= bytes;
    return found;
  }

  give(arrays: Iterable<Uint8Array<ArrayBuffer>>): void {
    for (const array of arrays) {
      if (this.#bytes + array.length > this.#most) continue;
      this.#bytes += array.length;
      const idle = this.#idle.get(array.length);
      if (idle) idle.push(array);
      else this.#idle.set(array.length, [array]);
    }
  }
}
