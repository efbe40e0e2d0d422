/** Writes a teacher's distributions over data, as teacher-cache.ts reads them. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { collate } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { logProbability } from "../generating/rollouts.ts";
import type { RowLogits } from "../scoring/all-logits.ts";
import { topLogits } from "../scoring/top-logits.ts";
import { ALL_TERMS, type CodeLayout, packToken, tokenBytes } from "./packed-codes.ts";
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

/** What a teacher says of one sequence of T tokens. */
export interface Said {
  /** (T - 1, k), ascending in every row. */
  readonly ids: Int32Array;
  /** (T - 1, k) */
  readonly logProbs: Float32Array;
  /** (T - 1) logarithms of what all others have. */
  readonly tail: Float32Array;
  /** Mean cross-entropy on what counts; 0 where nothing does. */
  readonly loss: number;
}

/** Whoever answers: a model, or one behind a network. */
export interface Answering {
  readonly outputs: number;
  readonly k: number;
  /** What is said of some sequences, in their order. */
  say(sequences: readonly Sequence[]): Promise<readonly Said[]>;
}

export interface CacheGiven {
  /** What the teacher is called. */
  readonly ref: string;
  /** Sequences that are asked about at once. */
  readonly rows: number;
  readonly lineage: readonly LineageEntry[];
  readonly signal: AbortSignal;
  readonly done?: (rows: number) => void;
  /** How what is said is packed; as it is when left out. */
  readonly codes?: Pick<CodeLayout, "exact" | "terms" | "bits"> | undefined;
}

/** The answers of logits. Throws UserError (exit 1) at the first that are not finite. */
function answersOf(
  logits: RowLogits,
  given: { readonly ref: string; readonly k: number; readonly pad: number },
): Answering {
  const k = Math.min(given.k, logits.outputs);
  const v = logits.outputs;
  return {
    outputs: v,
    k,
    async say(sequences) {
      const batch = collate(
        sequences.map((sequence) => [sequence]),
        { pad: given.pad },
      );
      const values = await logits.of(batch);
      return sequences.map((sequence, i) => {
        const count = sequence.ids.length - 1;
        const said = {
          ids: new Int32Array(count * k),
          logProbs: new Float32Array(count * k),
          tail: new Float32Array(count),
        };
        let [sum, labels] = [0, 0];
        for (let t = 0; t < count; t++) {
          const own = values.subarray((i * batch.length + t) * v, (i * batch.length + t + 1) * v);
          const found = topLogProbs(own, k);
          if (Number.isNaN(found.tail))
            throw new UserError(
              `${given.ref}: the logits of ${sequence.place}, token ${t}, are not finite`,
              `bun run inspect ${given.ref} --check looks for NaN in its weights`,
              1,
            );
          const label = sequence.labels[t + 1]!;
          if (label >= 0) {
            sum -= logProbability(own, label, 1);
            labels++;
          }
          said.ids.set(found.ids, t * k);
          said.logProbs.set(found.logProbs, t * k);
          said.tail[t] = found.tail;
        }
        return { ...said, loss: sum / Math.max(1, labels) };
      });
    },
  };
}

/**
 * Asks a teacher about sequences and writes the cache; frees the teacher's programs. Throws as `writeAnswers` does, and
 * UserError (exit 1) at the first logits that are not finite, before anything is written.
 */
export async function writeCache(
  target: string,
  logits: RowLogits,
  sequences: readonly Sequence[],
  given: CacheGiven & { readonly k: number; readonly pad: number },
): Promise<{ bytes: number; mass: number }> {
  return writeAnswers(target, answersOf(logits, given), sequences, given, () => logits.free());
}

/** The tensors of packed answers. */
function packedParts(
  layout: CodeLayout,
  { ids, logProbs, total }: { readonly ids: Int32Array; readonly logProbs: Float32Array; readonly total: number },
) {
  const { k, exact, bits, terms } = layout;
  const size = tokenBytes(layout);
  const codes = new Uint8Array(total * size);
  for (let t = 0; t < total; t++)
    packToken(
      ids.subarray(t * k, (t + 1) * k),
      logProbs.subarray(t * k, (t + 1) * k),
      layout,
      codes.subarray(t * size, (t + 1) * size),
    );
  const mask = ALL_TERMS.reduce((sum, term, i) => sum + (terms.includes(term) ? 1 << i : 0), 0);
  return [
    { name: "codes", dtype: "U8" as const, shape: [total, size], data: codes },
    { name: "layout", dtype: "I32" as const, shape: [4], data: Int32Array.of(k, exact, bits, mask) },
  ];
}

/**
 * Asks about sequences, and writes down what is said when everything is. Rows of the same tokens are asked about and
 * written once. Host memory: the cache itself. Gives its bytes, and the share of the teacher's probability that the k
 * hold, as a mean over tokens. Throws as `createWriter` does.
 */
export async function writeAnswers(
  target: string,
  answering: Answering,
  sequences: readonly Sequence[],
  given: CacheGiven,
  asked?: () => void,
): Promise<{ bytes: number; mass: number }> {
  const { k, outputs } = answering;
  const once = [...new Map(sequences.map((sequence) => [hashOf(sequence), sequence])).values()];
  const total = once.reduce((sum, { ids }) => sum + ids.length - 1, 0);
  const ids = new Int32Array(total * k);
  const logProbs = new Float32Array(total * k);
  const tail = new Float32Array(total);
  const starts = new Int32Array(once.length + 1);
  const rows = new BigUint64Array(once.length);
  const losses = new Float32Array(once.length);
  let at = 0;
  let row = 0;
  for await (const part of inBatches(once, given.rows)) {
    given.signal.throwIfAborted();
    const answers = await answering.say(part);
    for (const [i, said] of answers.entries()) {
      ids.set(said.ids, at * k);
      logProbs.set(said.logProbs, at * k);
      tail.set(said.tail, at);
      at += said.tail.length;
      losses[row] = said.loss;
      rows[row] = hashOf(part[i]!);
      starts[++row] = at;
    }
    given.done?.(part.length);
  }
  asked?.();
  const layout = given.codes && { vocabulary: outputs, k, ...given.codes, exact: Math.min(k, given.codes.exact) };
  const parts = [
    ...(layout
      ? packedParts(layout, { ids, logProbs, total })
      : [
          { name: "ids", dtype: "I32" as const, shape: [total, k], data: ids },
          { name: "log_probs", dtype: "F32" as const, shape: [total, k], data: logProbs },
          { name: "tail", dtype: "F32" as const, shape: [total], data: tail },
        ]),
    { name: "losses", dtype: "F32" as const, shape: [once.length], data: losses },
    { name: "rows", dtype: "U32" as const, shape: [once.length, 2], data: rows },
    { name: "starts", dtype: "I32" as const, shape: [once.length + 1], data: starts },
    { name: "vocabulary", dtype: "I32" as const, shape: [1], data: Int32Array.of(outputs) },
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
