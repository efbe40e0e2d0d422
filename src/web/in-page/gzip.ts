/**
 * gzip as `node:zlib` gives it, which it stands in for in the page. What was unpacked is packed again as it was: two
 * libraries find different bytes for one text, and a tokenizer that goes through a merge keeps its own.
 */
import { Gunzip, gzipSync as pack } from "fflate";

/** Packed bytes by what they hold. */
const seen: { readonly plain: Uint8Array; readonly packed: Uint8Array }[] = [];

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Unpacks. Throws an error with the code ERR_BUFFER_TOO_LARGE once there are more bytes than `maxOutputLength`. */
export function gunzipSync(packed: Uint8Array, { maxOutputLength }: { maxOutputLength: number }): Uint8Array {
  const pieces: Uint8Array[] = [];
  let length = 0;
  let ended = false;
  const stream = new Gunzip((piece, last) => {
    length += piece.length;
    ended = last;
    if (length > maxOutputLength) throw Object.assign(new Error("too large"), { code: "ERR_BUFFER_TOO_LARGE" });
    pieces.push(piece);
  });
  // Piece by piece: little of a file that is too large is unpacked before that is seen.
  const step = 1 << 16;
  for (let at = 0; at < packed.length; at += step)
    stream.push(packed.subarray(at, at + step), at + step >= packed.length);
  if (!ended) throw new Error("unexpected end of file");
  const plain = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    plain.set(piece, at);
    at += piece.length;
  }
  if (!seen.some((one) => same(one.plain, plain))) seen.push({ plain, packed: packed.slice() });
  return plain;
}

/** Packs, or gives what it was unpacked from. */
export function gzipSync(plain: Uint8Array): Buffer {
  return Buffer.from(seen.find((one) => same(one.plain, plain))?.packed ?? pack(plain));
}
