/**
 * A teacher's distributions written down: the k largest log-probabilities at every position that predicts a token, and what the others
 * have together. 8 k + 4 bytes a token.
 *
 *   ids (M, k) I32, ascending     log_probs (M, k) F32     tail (M) F32: log of the others' probability, -1e30 when there are none
 *   starts (R + 1) I32            rows (R, 2) U32: hash of each row's tokens     vocabulary (1) I32
 *
 * Rows are found again by their tokens, so the order of the data, and which of it is used, may change.
 */
import type { Checkpoint, LineageEntry } from "../checkpoint/checkpoint.ts";
import { openPlain } from "../checkpoint/open.ts";
import { createWriter } from "../checkpoint/write.ts";
import { type Batch, collate } from "../data/batch.ts";
import { inBatches } from "../data/dataset.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { chunkRows } from "../tensor/ops/head-loss.ts";
import { Program, profileOf } from "../tensor/program.ts";
import { Recorder } from "../tensor/recorder.ts";
import { batchKey, fillTokens, tokenInputs } from "./language.ts";

/** Of a batch of N positions. */
export interface CachedRows {
  /** (N, k) */
  readonly ids: Int32Array;
  /** (N, k + 1): log-probabilities and the tail's. */
  readonly logits: Float32Array;
}

const NOTHING = -1e30;
const hashOf = ({ ids }: Sequence): bigint =>
  Bun.hash.xxHash64(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));

/** The k largest of a row of logits: ids ascending, their log-probabilities, and the log of the rest's mass. */
export function topLogProbs(
  logits: Float32Array,
  k: number,
): { ids: Int32Array; logProbs: Float32Array; tail: number } {
  const v = logits.length;
  let most = Number.NEGATIVE_INFINITY;
  for (const x of logits) if (x > most) most = x;
  let all = 0;
  for (const x of logits) all += Math.exp(x - most);
  const lse = most + Math.log(all);
  const ids = new Int32Array(Math.min(k, v));
  if (k >= v) {
    for (let i = 0; i < v; i++) ids[i] = i;
  } else {
    const cut = logits.slice().sort()[v - k]!;
    // Of those equal to the last that is kept, the first ones.
    let above = 0;
    for (const x of logits) if (x > cut) above++;
    let equal = k - above;
    let at = 0;
    for (let i = 0; i < v; i++) {
      if (logits[i]! > cut || (logits[i] === cut && equal-- > 0)) ids[at++] = i;
    }
  }
  const kept = new Set(ids);
  let rest = 0;
  if (ids.length < v) for (let i = 0; i < v; i++) if (!kept.has(i)) rest += Math.exp(logits[i]! - most);
  const tail = ids.length < v && rest > 0 ? Math.log(rest) + most - lse : NOTHING;
  return { ids, logProbs: Float32Array.from(ids, (id) => logits[id]! - lse), tail };
}

/**
 * Runs a model over sequences and writes the cache. Rows of the same tokens are written once. Host memory: the cache itself.
 * Gives its bytes, and the share of the teacher's probability that the k hold, as a mean over tokens. Throws as `createWriter` does.
 */
export async function writeCache(
  target: string,
  model: Model,
  sequences: readonly Sequence[],
  given: {
    readonly k: number;
    readonly rows: number;
    readonly pad: number;
    readonly lineage: readonly LineageEntry[];
    readonly signal: AbortSignal;
    readonly done?: (rows: number) => void;
  },
): Promise<{ bytes: number; mass: number }> {
  const k = Math.min(given.k, model.sizes.outputs);
  const once = [...new Map(sequences.map((sequence) => [hashOf(sequence), sequence])).values()];
  const total = once.reduce((sum, { ids }) => sum + ids.length - 1, 0);
  const ids = new Int32Array(total * k);
  const logProbs = new Float32Array(total * k);
  const tail = new Float32Array(total);
  const starts = new Int32Array(once.length + 1);
  const rows = new BigUint64Array(once.length);
  const logits = new Logits(model);
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
        const v = model.sizes.outputs;
        const found = topLogProbs(values.subarray((i * batch.length + t) * v, (i * batch.length + t + 1) * v), k);
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
    { name: "vocabulary", dtype: "I32" as const, shape: [1], data: Int32Array.of(model.sizes.outputs) },
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

/** All logits of a batch on the host, some rows at a time on the GPU. */
class Logits {
  readonly #model: Model;
  readonly #programs = new Map<string, { program: Program; parts: number }>();

  constructor(model: Model) {
    this.#model = model;
  }

  async of(batch: Batch): Promise<Float32Array> {
    const { gpu, sizes } = this.#model;
    let found = this.#programs.get(batchKey(batch));
    if (!found) {
      const rec = new Recorder(profileOf(gpu), { training: false });
      const { hidden, head } = this.#model.record(rec, tokenInputs(rec, batch));
      const parts = rec.split(hidden, chunkRows(sizes.outputs, gpu.adapter.limits.maxStorageBufferBindingSize));
      for (const [i, part] of parts.entries()) rec.output(`logits.${i}`, head(part));
      found = { program: await Program.compile(gpu, rec), parts: parts.length };
      this.#programs.set(batchKey(batch), found);
    }
    fillTokens(found.program, batch);
    found.program.run();
    const whole = new Float32Array(batch.rows * batch.length * sizes.outputs);
    let at = 0;
    for (let i = 0; i < found.parts; i++) {
      const part = await found.program.read(`logits.${i}`);
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  free(): void {
    for (const { program } of this.#programs.values()) program.free();
  }
}

/** An opened cache. */
export class TeacherCache {
  readonly k: number;
  readonly vocabulary: number;
  readonly checkpoint: Checkpoint;
  readonly #starts: Int32Array;
  readonly #row: ReadonlyMap<bigint, number>;

  private constructor(checkpoint: Checkpoint, k: number, vocabulary: number, starts: Int32Array, rows: BigUint64Array) {
    this.checkpoint = checkpoint;
    this.k = k;
    this.vocabulary = vocabulary;
    this.#starts = starts;
    this.#row = new Map(Array.from(rows, (hash, row) => [hash, row]));
  }

  /** Reads what says where rows lie. Throws UserError when the file is no cache. */
  static async open(ref: string): Promise<TeacherCache> {
    const checkpoint = await openPlain(ref);
    const names = ["ids", "log_probs", "rows", "starts", "tail", "vocabulary"];
    const missing = names.find((name) => !checkpoint.tensors.has(name));
    if (missing)
      throw new UserError(`${ref} is no teacher cache: it has no ${missing}`, "write one with bun run distill cache");
    const bytes = async (name: string) => {
      const entry = checkpoint.tensors.get(name)!;
      const read = new Uint8Array(entry.bytes);
      await entry.read(read, 0);
      return read.buffer;
    };
    const k = checkpoint.tensors.get("ids")!.shape[1]!;
    const [vocabulary] = new Int32Array(await bytes("vocabulary"));
    return new TeacherCache(
      checkpoint,
      k,
      vocabulary!,
      new Int32Array(await bytes("starts")),
      new BigUint64Array(await bytes("rows")),
    );
  }

  /** What the teacher said of a batch. Throws UserError, naming the row, for one that it was not asked about. */
  async rows(batch: Batch): Promise<CachedRows> {
    const { k } = this;
    const n = batch.rows * batch.length;
    const ids = new Int32Array(n * k);
    const logits = new Float32Array(n * (k + 1));
    for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) ids[i * k + j] = j; // padding: any ids, ascending
    const entry = (name: string) => this.checkpoint.tensors.get(name)!;
    for (const { sequence, row, start } of batch.documents) {
      const place = this.#row.get(hashOf(sequence));
      if (place === undefined)
        throw new UserError(
          `${sequence.place}: the teacher cache ${this.checkpoint.ref} does not know this row`,
          "write the cache from the same data, with the same tokenizer and --max-length",
        );
      const from = this.#starts[place]!;
      const count = this.#starts[place + 1]! - from;
      const own = new Int32Array(count * k);
      const probs = new Float32Array(count * k);
      const tails = new Float32Array(count);
      await entry("ids").read(new Uint8Array(own.buffer), 4 * from * k);
      await entry("log_probs").read(new Uint8Array(probs.buffer), 4 * from * k);
      await entry("tail").read(new Uint8Array(tails.buffer), 4 * from);
      for (let t = 0; t < count; t++) {
        const at = row * batch.length + start + t;
        ids.set(own.subarray(t * k, (t + 1) * k), at * k);
        logits.set(probs.subarray(t * k, (t + 1) * k), at * (k + 1));
        logits[at * (k + 1) + k] = tails[t]!;
      }
    }
    return { ids, logits };
  }

  close(): void {
    this.checkpoint.close();
  }
}
