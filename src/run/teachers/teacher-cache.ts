/**
 * A teacher's distributions written down: the k largest log-probabilities at every position that predicts a token,
 * and what the others have together. 8 k + 4 bytes a token, or
 * fewer where they are packed.
 *
 *   ids (M, k) I32, ascending     log_probs (M, k) F32     tail (M) F32: log of the others' probability, -1e30 when
 *     there are none
 *   starts (R + 1) I32            rows (R, 2) U32: hash of each row's tokens     vocabulary (1) I32
 *   codes (M, bytes) U8, layout (4) I32: in the place of ids, log_probs and tail where packed; the layout is k,
 *     how many are exact, bits of a bin, and a bit for each term (packed-codes.ts)
 *   losses (R) F32, of late: the teacher's mean cross-entropy on each row's labels, in tokens of its own
 *
 * Rows are found again by their tokens, so the order of the data, and which of it is used, may change. Nothing in the
 * file is trusted: where rows lie is checked when it is opened, what they hold when they are read.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import type { TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { ALL_TERMS, type CodeLayout, tokenBytes, unpackToken } from "./packed-codes.ts";

/** Of a batch of N positions. */
export interface CachedRows {
  /** (N, k) */
  readonly ids: Int32Array;
  /** (N, k + 1): log-probabilities and the tail's. */
  readonly logits: Float32Array;
}

/** The logarithm of no probability. */
export const NOTHING = -1e30;
const REWRITE = "write it again with bun run distill cache";

/** By how much rounding may lift a log-probability above 0, and take a row's probabilities from 1. */
const ROUNDING = 1e-3;

/** By which a row is found. */
export const hashOf = ({ ids }: Sequence): bigint =>
  Bun.hash.xxHash64(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));

/** The layout that a file says. Throws UserError for what is none. */
function codeLayout(
  ref: string,
  [k = 0, exact = -1, bits = -1, mask = -1]: Int32Array,
  vocabulary: number,
): CodeLayout {
  const terms = ALL_TERMS.filter((_, i) => (mask >> i) & 1);
  const fits = k >= 1 && k <= vocabulary && exact >= 0 && exact <= k && bits >= 0 && bits <= 16;
  if (!fits || mask < 0 || mask >= 1 << ALL_TERMS.length || (terms.length === 0 && exact < k))
    throw new UserError(`${ref}: layout is ${[k, exact, bits, mask].join(", ")} for ${vocabulary} outputs`, REWRITE);
  return { vocabulary, k, exact, terms, bits };
}

/** An opened cache. */
export class TeacherCache {
  readonly k: number;
  readonly vocabulary: number;
  readonly checkpoint: Checkpoint;
  readonly #starts: Int32Array;
  readonly #row: ReadonlyMap<bigint, number>;
  readonly #losses: Float32Array | undefined;
  readonly #codes: CodeLayout | undefined;

  private constructor(
    checkpoint: Checkpoint,
    { k, vocabulary }: { readonly k: number; readonly vocabulary: number },
    starts: Int32Array,
    rows: BigUint64Array,
    { losses, codes }: { readonly losses: Float32Array | undefined; readonly codes: CodeLayout | undefined },
  ) {
    this.checkpoint = checkpoint;
    this.k = k;
    this.vocabulary = vocabulary;
    this.#starts = starts;
    this.#losses = losses;
    this.#codes = codes;
    this.#row = new Map(Array.from(rows, (hash, row) => [hash, row]));
  }

  /** Reads what says where rows lie. Throws UserError when the file is no cache. */
  static async open(ref: string): Promise<TeacherCache> {
    const checkpoint = await openPlain(ref);
    const isPacked = checkpoint.tensors.has("codes");
    const names = [...(isPacked ? ["layout"] : ["ids", "log_probs", "tail"]), "rows", "starts", "vocabulary"];
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
    const numbers = async (name: string) => new Int32Array((await bytes(name)).slice(0));
    const codes = isPacked
      ? codeLayout(ref, await numbers("layout"), (await numbers("vocabulary"))[0] ?? 0)
      : undefined;
    const [total = 0, wide = 0] = checkpoint.tensors.get(isPacked ? "codes" : "ids")!.shape;
    const k = codes?.k ?? wide;
    const count = checkpoint.tensors.get("rows")!.shape[0] ?? 0;
    const layout: Record<string, (string | number)[]> = {
      ...(codes
        ? { codes: ["U8", total, tokenBytes(codes)], layout: ["I32", 4] }
        : { ids: ["I32", total, k], log_probs: ["F32", total, k], tail: ["F32", total] }),
      rows: ["U32", count, 2],
      starts: ["I32", count + 1],
      vocabulary: ["I32", 1],
      ...(checkpoint.tensors.has("losses") ? { losses: ["F32", count] } : {}),
    };
    for (const [name, [dtype, ...shape]] of Object.entries(layout)) {
      const found = checkpoint.tensors.get(name)!;
      if (found.dtype !== dtype || found.shape.join() !== shape.join())
        throw new UserError(
          `${ref}: ${name} is ${found.dtype} (${found.shape.join(", ")}), expected ${dtype} (${shape.join(", ")})`,
          REWRITE,
        );
    }
    const vocabulary = new Int32Array(await bytes("vocabulary"))[0]!;
    if (vocabulary < 1 || k < 1 || k > vocabulary)
      throw new UserError(`${ref}: ids has ${k} columns, vocabulary[0] is ${vocabulary}`, REWRITE);
    const starts = new Int32Array(await bytes("starts"));
    for (let i = 0; i <= count; i++) {
      const least = i === 0 ? 0 : starts[i - 1]!;
      const most = i === 0 ? 0 : total;
      if (starts[i]! < least || starts[i]! > most || (i === count && starts[i] !== total))
        throw new UserError(
          `${ref}: starts[${i}] is ${starts[i]}, expected ${i === count ? total : `${least} to ${most}`}`,
          REWRITE,
        );
    }
    const rows = new BigUint64Array(await bytes("rows"));
    const losses = checkpoint.tensors.has("losses") ? new Float32Array(await bytes("losses")) : undefined;
    const wrong = losses?.findIndex((loss) => !(loss >= 0 && loss < Number.POSITIVE_INFINITY)) ?? -1;
    if (wrong >= 0) throw new UserError(`${ref}: losses[${wrong}] is ${losses![wrong]}, expected at least 0`, REWRITE);
    return new TeacherCache(checkpoint, { k, vocabulary }, starts, rows, { losses, codes });
  }

  /** Throws UserError unless it was written for as many outputs as a student has. */
  checkVocabulary({ ref, sizes }: { readonly ref: string; readonly sizes: { readonly outputs: number } }): void {
    if (this.vocabulary === sizes.outputs) return;
    throw new UserError(
      `${this.checkpoint.ref} was written for a vocabulary of ${this.vocabulary}; ${ref} has ${sizes.outputs}`,
      "write it with bun run distill cache --align and the student, or by a teacher of this vocabulary",
    );
  }

  /** Throws UserError where it does not say how well the teacher predicts rows. */
  checkLosses(): void {
    if (!this.#losses)
      throw new UserError(`${this.checkpoint.ref} does not say how well its teacher predicts each row`, REWRITE);
  }

  /** The teacher's mean cross-entropy on a row's labels. Throws UserError for a row that it was not asked about. */
  lossOf(sequence: Sequence): number {
    this.#place(sequence);
    return this.#losses?.[this.#row.get(hashOf(sequence)) ?? -1] ?? 0;
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
        REWRITE,
      );
    return { from, count };
  }

  /** Throws UserError, naming the entry, unless the tokens from `from` hold distributions over the vocabulary. */
  #checkTokens(from: number, ids: Int32Array, logProbs: Float32Array, tails: Float32Array): void {
    const { k, vocabulary } = this;
    const wrong = (what: string): never => {
      throw new UserError(`${this.checkpoint.ref}: ${what}`, REWRITE);
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

  /** What was said from token `from` on: (count, k) each, and (count). */
  async #said(from: number, count: number): Promise<{ own: Int32Array; probs: Float32Array; tails: Float32Array }> {
    const { k } = this;
    const entry = (name: string) => this.checkpoint.tensors.get(name)!;
    const own = new Int32Array(count * k);
    const probs = new Float32Array(count * k);
    const tails = new Float32Array(count);
    if (!this.#codes) {
      await entry("ids").read(new Uint8Array(own.buffer), 4 * from * k);
      await entry("log_probs").read(new Uint8Array(probs.buffer), 4 * from * k);
      await entry("tail").read(new Uint8Array(tails.buffer), 4 * from);
      return { own, probs, tails };
    }
    const size = tokenBytes(this.#codes);
    const packed = new Uint8Array(count * size);
    await entry("codes").read(packed, from * size);
    for (let t = 0; t < count; t++) {
      const { ids, logProbs, tail } = unpackToken(packed.subarray(t * size, (t + 1) * size), this.#codes, NOTHING);
      own.set(ids, t * k);
      probs.set(logProbs, t * k);
      tails[t] = tail;
    }
    return { own, probs, tails };
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
    for (const { sequence, row, start } of batch.documents) {
      const { from, count } = this.#place(sequence);
      const { own, probs, tails } = await this.#said(from, count);
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
