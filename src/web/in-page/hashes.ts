/** SHA-256 as `node:crypto` gives it, which it stands in for in the page: a browser's own gives its result later. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** A hash that takes text or bytes, piece by piece. Throws RangeError for another algorithm. */
export function createHash(algorithm: string) {
  if (algorithm !== "sha256") throw new RangeError(`no ${algorithm} in the page`);
  const hash = sha256.create();
  const own = {
    update(data: string | Uint8Array) {
      hash.update(typeof data === "string" ? utf8ToBytes(data) : data);
      return own;
    },
    digest: (_form: "hex") => bytesToHex(hash.digest()),
  };
  return own;
}
