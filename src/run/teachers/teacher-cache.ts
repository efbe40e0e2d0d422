/**
 * A teacher's distributions written down: the k largest log-probabilities at every position that predicts a token, and
 * what the others have together. 8 k + 4 bytes a token.
 *
 *   ids (M, k) I32, ascending     log_probs (M, k) F32
 *   tail (M) F32: log of the others' probability, -1e30 when there are none
 *   starts (R + 1) I32            rows (R, 2) U32: hash of each row's tokens     vocabulary (1) I32
 *
 * Rows are found again by their tokens, so the order of the data, and which of it is used, may change. Nothing in the
 * file is trusted: where rows lie is checked when it is opened, what they hold when they are read.
 */

import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { batchKey, collate, type TokenBatch } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { chunkRows } from "../../tensor/ops/head-loss.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** Of a batch of N positions. */
export interface CachedRows {
  /** (N, k) */
  readonly ids: Int32Array;
  /** (N, k + 1): log-probabilities and the tail's. */
  readonly logits: Float32Array;
}

const NOTHING = -1e30;
const AGAIN = "write it again with bun run distill cache";

/** By how much rounding may lift a log-probability above 0, and take a row's probabilities from 1. */
const ROUNDING = 1e-3;

const hashOf = ({ ids }: Sequence): bigint =>
  Bun.hash.xxHash64(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));

/**
 * The k largest of a row of logits: ids ascending, their log-probabilities, and the log of the rest's mass. Those of a
 * row with NaN or an infinity other than -Infinity are all NaN.
 */
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
  if (!Number.isFinite(lse))
    return {
      ids: new Int32Array(Math.min(k, v)),
      logProbs: new Float32Array(Math.min(k, v)).fill(Number.NaN),
      tail: Number.NaN,
    };
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
  return { ids, logProbs: Float32Array.from(ids, (id) => Math.max(NOTHING, logits[id]! - lse)), tail };
}

/**
 * Runs a model over sequences and writes the cache. Rows of the same tokens are written once. Host memory: the cache
 * itself. Gives its bytes, and the share of the teacher's probability that the k hold, as a mean over tokens. Throws as
 * `createWriter` does, and UserError (exit 1) at the first logits that are not finite, before anything is written.
 */
export async function writeCache(
  target: string,
  model: Model,
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
  /** With the number of outputs that the logits are split into. */
  readonly #programs: Programs<number>;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
  }

  async of(batch: TokenBatch): Promise<Float32Array> {
    const { gpu, sizes } = this.#model;
    const { program, recorded: parts } = await this.#programs.get(batchKey(batch), (rec) => {
      const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch));
      const parts = rec.split(hidden, chunkRows(sizes.outputs, gpu.adapter.limits.maxStorageBufferBindingSize));
      for (const [i, part] of parts.entries()) rec.output(`logits.${i}`, head(part));
      return parts.length;
    });
    fillInputs(program, batch);
    program.run();
    const whole = new Float32Array(batch.rows * batch.length * sizes.outputs);
    let at = 0;
    for (let i = 0; i < parts; i++) {
      const part = await program.read(`logits.${i}`);
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  free(): void {
    this.#programs.free();
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

  /** Reads what says where rows lie. Throws UserError when the file is not a cache. */
  static async open(ref: string): Promise<TeacherCache> {
    const checkpoint = await openPlain(ref);
    const names = ["ids", "log_probs", "rows", "starts", "tail", "vocabulary"];
    const missing = names.find((name) => !checkpoint.tensors.has(name));
    if (missing)
      throw new UserError(
        `${ref} is not a teacher cache: it has no ${missing}`,
        "write one with bun run distill cache",
      );
    const bytes = async (name: string) => {
      const entry = checkpoint.tensors.get(name)!;
      const read = new Uint8Array(entry.bytes);
      await entry.read(read, 0);
      return read.buffer;
    };
    const [total = 0, k = 0] = checkpoint.tensors.get("ids")!.shape;
    const count = checkpoint.tensors.get("rows")!.shape[0] ?? 0;
    const layout = {
      ids: ["I32", total, k],
      log_probs: ["F32", total, k],
      rows: ["U32", count, 2],
      starts: ["I32", count + 1],
      tail: ["F32", total],
      vocabulary: ["I32", 1],
    };
    for (const [name, [dtype, ...shape]] of Object.entries(layout)) {
      const found = checkpoint.tensors.get(name)!;
      if (found.dtype !== dtype || found.shape.join() !== shape.join())
        throw new UserError(
          `${ref}: ${name} is ${found.dtype} (${found.shape.join(", ")}), expected ${dtype} (${shape.join(", ")})`,
          AGAIN,
        );
    }
    const vocabulary = new Int32Array(await bytes("vocabulary"))[0]!;
    if (vocabulary < 1 || k < 1 || k > vocabulary)
      throw new UserError(`${ref}: ids has ${k} columns, vocabulary[0] is ${vocabulary}`, AGAIN);
    const starts = new Int32Array(await bytes("starts"));
    for (let i = 0; i <= count; i++) {
      const least = i === 0 ? 0 : starts[i - 1]!;
      const most = i === 0 ? 0 : total;
      if (starts[i]! < least || starts[i]! > most || (i === count && starts[i] !== total))
        throw new UserError(
          `${ref}: starts[${i}] is ${starts[i]}, expected ${i === count ? total : `${least} to ${most}`}`,
          AGAIN,
        );
    }
    return new TeacherCache(checkpoint, k, vocabulary, starts, new BigUint64Array(await bytes("rows")));
  }

  /** Throws UserError, naming the first, when the teacher was not asked about all of these. */
  check(sequences: readonly Sequence[]): void {
    const missing = sequences.filter((sequence) => !this.#row.has(hashOf(sequence)));
    const others = missing.length > 1 ? `; it lacks ${missing.length} of ${sequences.length}` : "";
    if (missing.length > 0) this.#refuse(missing[0]!, others);
    for (const sequence of sequences) this.#place(sequence);
  }

  #refuse({ place }: Sequence, others = ""): never {
    throw new UserError(
      `${place}: the teacher cache ${this.checkpoint.ref} does not know this row${others}`,
      "write the cache from the same data, with the same tokenizer and --max-length",
    );
  }

  /** The first token of a row, and how many there are. */
  #place(sequence: Sequence): { from: number; count: number } {
    const row = this.#row.get(hashOf(sequence));
    if (row === undefined) this.#refuse(sequence);
    const from = this.#starts[row]!;
    const count = this.#starts[row + 1]! - from;
    if (count !== sequence.ids.length - 1)
      throw new UserError(
        `${this.checkpoint.ref}: starts[${row + 1}] is ${from + count}, expected ${from + sequence.ids.length - 1} for ${sequence.place}`,
        AGAIN,
      );
    return { from, count };
  }

  /** Throws UserError, naming the entry, unless the tokens from `from` hold distributions over the vocabulary. */
  #checkTokens(from: number, ids: Int32Array, logProbs: Float32Array, tails: Float32Array): void {
    const { k, vocabulary } = this;
    const wrong = (what: string): never => {
      throw new UserError(`${this.checkpoint.ref}: ${what}`, AGAIN);
    };
    for (const [t, tail] of tails.entries()) {
      let mass = Math.exp(tail);
      for (let j = 0; j < k; j++) {
        const at = `[${from + t}, ${j}]`;
        const [id, logProb] = [ids[t * k + j]!, logProbs[t * k + j]!];
        if (id < 0 || id >= vocabulary) wrong(`ids${at} is ${id}, expected 0 to ${vocabulary - 1}`);
        if (j > 0 && id <= ids[t * k + j - 1]!)
          wrong(`ids${at} is ${id} after ${ids[t * k + j - 1]}, expected a larger one`);
        if (!(logProb <= ROUNDING && logProb > Number.NEGATIVE_INFINITY))
          wrong(`log_probs${at} is ${logProb}, expected a finite number of at most 0`);
        mass += Math.exp(logProb);
      }
      if (!(tail <= ROUNDING && tail > Number.NEGATIVE_INFINITY))
        wrong(`tail[${from + t}] is ${tail}, expected a finite number of at most 0`);
      if (Math.abs(mass - 1) > ROUNDING)
        wrong(
          `the probabilities of log_probs[${from + t}] and tail[${from + t}] sum to ${mass.toFixed(4)}, expected 1`,
        );
    }
  }

  /**
   * What the teacher said of a batch. Throws UserError for a row that it was not asked about, or that holds no
   * distributions.
   */
  async rows(batch: TokenBatch): Promise<CachedRows> {
    const { k } = this;
    const n = batch.rows * batch.length;
    const ids = new Int32Array(n * k);
    const logits = new Float32Array(n * (k + 1));
    for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) ids[i * k + j] = j; // padding: any ids, ascending
    const entry = (name: string) => this.checkpoint.tensors.get(name)!;
    for (const { sequence, row, start } of batch.documents) {
      const { from, count } = this.#place(sequence);
      const own = new Int32Array(count * k);
      const probs = new Float32Array(count * k);
      const tails = new Float32Array(count);
      await entry("ids").read(new Uint8Array(own.buffer), 4 * from * k);
      await entry("log_probs").read(new Uint8Array(probs.buffer), 4 * from * k);
      await entry("tail").read(new Uint8Array(tails.buffer), 4 * from);
      this.#checkTokens(from, own, probs, tails);
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
