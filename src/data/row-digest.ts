/** A digest of what a model reads of a row, by which a row is known again without being kept. */
import { createHash } from "node:crypto";
import { arraysIn } from "./batch.ts";
import type { Example } from "./examples.ts";
import type { Sequence } from "./sequences.ts";

/** Bytes of a digest. */
export const DIGEST = 16;

/** In hexadecimal, of an example with its label, or of tokens with what counts of them. */
export function rowDigest(row: Example | Sequence): string {
  const hash = createHash("sha256");
  const add = (values: Float32Array | Int32Array) => {
    hash.update(`\0${values.length}\0`);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  };
  if ("ids" in row) for (const values of [row.ids, row.labels]) add(values);
  else {
    hash.update(`label ${row.label}`);
    for (const values of arraysIn(row)) add(values);
  }
  return hash.digest("hex").slice(0, 2 * DIGEST);
}

/** A number from 0 to `count` - 1 that a digest and a salt choose. */
export function digestedPlace(digest: string, salt: string, count: number): number {
  const hash = createHash("sha256").update(`${salt}\0${digest}`).digest();
  return Number(hash.readBigUInt64LE(0) % BigInt(count));
}
