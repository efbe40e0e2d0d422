/** Writes a teacher's distributions over data, as teacher-cache.ts reads them. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { collate } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { RowLogits } from "../scoring/all-logits.ts";
import { topLogits } from "../scoring/top-logits.ts";
import { hashOf, NOTHING } from "./teacher-cache.ts";

/**
 * The k largest of a row of logits: ids ascending, their log-probabilities, and the log of the rest's mass. Those of
 * a row with NaN or an infinity other than -Infinity are all NaN.
 */
export function topLogProbs(
  logits: Float32Array,
  k: number,
): { ids: Int32Array; logProbs: Float32Array; tail: number } {
  const { ids, logSum, largest } = topLogits(logits, k);
  if (!Number.isFinite(logSum))
    return { ids, logProbs: new Float32Array(ids.length).fill(Number.NaN), tail: Number.NaN };
  let rest = 0;
  let next = 0;
  for (let i = 0; i < logits.length; i++) {
    if (i === ids[next]) next++;
    else rest += Math.exp(logits[i]! - largest);
  }
  const tail = rest > 0 ? Math.log(rest) + largest - logSum : NOTHING;
  return { ids, logProbs: Float32Array.from(ids, (id) => Math.max(NOTHING, logits[id]! - logSum)), tail };
}

/**
 * Asks a teacher about sequences and writes the cache; frees the teacher's programs. Rows of the same tokens are
 * written once. Host memory: the cache itself. Gives its bytes, and the share of the teacher's probability that the k
 * hold, as a mean over tokens. Throws as `createWriter` does, and UserError (exit 1) at the first logits that are not
 * finite, before anything is written.
 */
export async function writeCache(
  target: string,
  logits: RowLogits,
  sequences: readonly Sequence[],
  given: {
    /** What the model is called. */
    readonly ref: string;
    readonly k: number;
    readonly rows: number;
    readonly pad: number;
    readonly lineage: readonly LineageEntry[];
    readonly signal: AbortSignal;
    readonly done?: (rows: number) => void;
  },
): Promise<{ bytes: number; mass: number }> {
  const k = Math.min(given.k, logits.outputs);
  const once = [...new Map(sequences.map((sequence) => [hashOf(sequence), sequence])).values()];
  const total = once.reduce((sum, { ids }) => sum + ids.length - 1, 0);
  const ids = new Int32Array(total * k);
  const logProbs = new Float32Array(total * k);
  const tail = new Float32Array(total);
  const starts = new Int32Array(once.length + 1);
  const rows = new BigUint64Array(once.length);
  let at = 0;
  let row = 0;
  for await (const part of inBatches(once, given.rows)) {
    given.signal.throwIfAborted();
    const batch = collate(
      part.map((sequence) => [sequence]),
      { pad: given.pad },
    );
    const values = await logits.of(batch);
    for (const [i, sequence] of part.entries()) {
      rows[row] = hashOf(sequence);
      for (let t = 0; t < sequence.ids.length - 1; t++, at++) {
        const v = logits.outputs;
        const found = topLogProbs(values.subarray((i * batch.length + t) * v, (i * batch.length + t + 1) * v), k);
        if (Number.isNaN(found.tail))
          throw new UserError(
            `${given.ref}: the logits of ${sequence.place}, token ${t}, are not finite`,
            `bun run inspect ${given.ref} --check looks for NaN in its weights`,
            1,
          );
        ids.set(found.ids, at * k);
        logProbs.set(found.logProbs, at * k);
        tail[at] = found.tail;
      }
      starts[++row] = at;
    }
    given.done?.(part.length);
  }
  logits.free();
  const parts = [
    { name: "ids", dtype: "I32" as const, shape: [total, k], data: ids },
    { name: "log_probs", dtype: "F32" as const, shape: [total, k], data: logProbs },
    { name: "rows", dtype: "U32" as const, shape: [once.length, 2], data: rows },
    { name: "starts", dtype: "I32" as const, shape: [once.length + 1], data: starts },
    { name: "tail", dtype: "F32" as const, shape: [total], data: tail },
    { name: "vocabulary", dtype: "I32" as const, shape: [1], data: Int32Array.of(logits.outputs) },
  ];
  const tensors = parts.map(({ name, dtype, shape, data }) => ({ name, dtype, shape, bytes: data.byteLength }));
  const writer = await createWriter(target, { tensors, files: new Map(), lineage: given.lineage });
  try {
    for (const { name, data } of parts)
      if (data.byteLength > 0) await writer.write(name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    await writer.finish();
    return {
      bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      mass: 1 - tail.reduce((sum, rest) => sum + Math.exp(rest), 0) / Math.max(1, total),
    };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
