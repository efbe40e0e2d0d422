/** What another reader makes of a batch, made once for all that asks: the key, the recording and the filling. */
import { type Batch, isTokens, type TokenBatch } from "../data/batch.ts";

/** `read`, asked once a batch. Throws Error for a batch of examples, which has no texts. */
export function readOnce<T extends object>(read: (batch: TokenBatch) => T): (batch: Batch) => T {
  const known = new WeakMap<Batch, T>();
  return (batch) => {
    const found = known.get(batch);
    if (found) return found;
    if (!isTokens(batch)) throw new Error("a batch of examples has no texts");
    const made = read(batch);
    known.set(batch, made);
    return made;
  };
}
