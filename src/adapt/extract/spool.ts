/** Factors on their way: in a file of the system's temporary folder until all ranks are known. */
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { StoredFactors } from "../../checkpoint/adapter/write-adapter.ts";
import type { Triplets } from "../../tensor/linear-algebra/leading-svd.ts";

/** Where a module's directions lie: direction k has its right vector, then its left one, both scaled, in f32. */
export interface Spooled {
  readonly at: number;
  readonly count: number;
  readonly into: number;
  readonly out: number;
}

export class Spool {
  readonly #folder = fs.mkdtempSync(path.join(tmpdir(), "ingot-extract-"));
  readonly #fd = fs.openSync(path.join(this.#folder, "factors"), "w+");
  #end = 0;

  /** Appends directions: `split` shares a singular value between both vectors, else the right one takes it. */
  add({ s, left, right }: Triplets, split: boolean): Spooled {
    const [into, out] = [right.columns, left.columns];
    const rows = new Float32Array(s.length * (into + out));
    for (const [k, value] of s.entries()) {
      const [wide, tall] = split ? [Math.sqrt(value), Math.sqrt(value)] : [value, 1];
      const at = k * (into + out);
      for (let i = 0; i < into; i++) rows[at + i] = wide * right.values[k * into + i]!;
      for (let o = 0; o < out; o++) rows[at + into + o] = tall * left.values[k * out + o]!;
    }
    const place = { at: this.#end, count: s.length, into, out };
    const bytes = new Uint8Array(rows.buffer);
    for (let done = 0; done < bytes.length; )
      done += fs.writeSync(this.#fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), this.#end + done);
    this.#end += bytes.length;
    return place;
  }

  /** A (rank, in) and B (out, rank) of the first directions. */
  read({ at, into, out }: Spooled, rank: number): StoredFactors {
    const rows = new Float32Array(rank * (into + out));
    const bytes = new Uint8Array(rows.buffer);
    for (let done = 0; done < bytes.length; )
      done += fs.readSync(this.#fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), at + done);
    const [a, b] = [new Float32Array(rank * into), new Float32Array(out * rank)];
    for (let k = 0; k < rank; k++) {
      const first = k * (into + out);
      a.set(rows.subarray(first, first + into), k * into);
      for (let o = 0; o < out; o++) b[o * rank + k] = rows[first + into + o]!;
    }
    return { a, b };
  }

  close(): void {
    fs.closeSync(this.#fd);
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}
