/**
 * Writes logits as safetensors, in row order: `logits` (R, T, V) when all rows have one length, else (tokens, V) with
 * `lengths` (R). With a top k: `ids` and `log_probs` (..., k) and `tail` (...), the probability of all others.
 */

import { createWriter } from "../checkpoint/write/write.ts";
import { type Batch, batchKey, isTokens } from "../data/batch.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, recordInputs } from "../run/batch-programs.ts";
import { Programs } from "../run/programs.ts";
import { topLogits } from "../run/scoring/top-logits.ts";

/**
 * Keeps the logits of every batch in memory until they are written.
 *
 *   const dump = new LogitDump(model, 0);
 *   await dump.add(batch);
 *   await dump.write("logits.safetensors");
 */
export class LogitDump {
  readonly #model: Model;
  readonly #top: number;
  readonly #programs: Programs;
  /** Logits of each row: T x V, or top ids, log probabilities and tails. */
  readonly #rows: { readonly tokens: number; readonly parts: readonly (Float32Array | Int32Array)[] }[] = [];

  /** `top` 0 keeps all logits. */
  constructor(model: Model, top: number) {
    this.#model = model;
    this.#top = Math.min(top, model.sizes.outputs);
    this.#programs = new Programs(model.gpu);
  }

  async add(batch: Batch): Promise<void> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch));
      rec.output("logits", head(hidden));
    });
    fillInputs(program, batch);
    await program.start();
    const logits = await program.read("logits");
    const v = this.#model.sizes.outputs;
    for (let row = 0; row < batch.rows; row++) {
      const tokens = isTokens(batch) ? batch.lengths[row]! : 1;
      const start = row * batch.length * v;
      const values = logits.slice(start, start + tokens * v);
      this.#rows.push({ tokens, parts: this.#top > 0 ? topOf(values, tokens, v, this.#top) : [values] });
    }
  }

  /** Writes what was kept and frees the programs. Throws as createWriter does. */
  async write(target: string): Promise<void> {
    const lengths = Int32Array.from(this.#rows, ({ tokens }) => tokens);
    const equal = lengths.every((n) => n === lengths[0]);
    const total = lengths.reduce((a, b) => a + b, 0);
    const front = equal ? [lengths.length, lengths[0] ?? 0] : [total];
    const v = this.#model.sizes.outputs;
    const top = this.#top;
    const whole = top === 0;
    const names = whole
      ? [{ name: "logits", dtype: "F32" as const, shape: [...front, v] }]
      : [
          { name: "ids", dtype: "I32" as const, shape: [...front, top] },
          { name: "log_probs", dtype: "F32" as const, shape: [...front, top] },
          { name: "tail", dtype: "F32" as const, shape: front },
        ];
    const all = [...names, ...(equal ? [] : [{ name: "lengths", dtype: "I32" as const, shape: [lengths.length] }])];
    const tensors = all.map((info) => ({ ...info, bytes: 4 * info.shape.reduce((a, b) => a * b, 1) }));
    const writer = await createWriter(target, { tensors, files: new Map(), lineage: [] });
    try {
      for (const [i, { name }] of names.entries()) {
        for (const { parts } of this.#rows) await writer.write(name, new Uint8Array(parts[i]!.buffer));
      }
      if (!equal) await writer.write("lengths", new Uint8Array(lengths.buffer));
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    this.#programs.free();
  }
}

/** The k largest of every row, most likely first, with log probabilities and the probability of all others. */
function topOf(logits: Float32Array, rows: number, v: number, k: number): [Int32Array, Float32Array, Float32Array] {
  const ids = new Int32Array(rows * k);
  const logProbs = new Float32Array(rows * k);
  const tail = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const values = logits.subarray(row * v, (row + 1) * v);
    const { ids: kept, logSum, rest } = topLogits(values, k);
    kept.sort((a, b) => values[b]! - values[a]! || a - b);
    ids.set(kept, row * k);
    for (const [i, id] of kept.entries()) logProbs[row * k + i] = values[id]! - logSum;
    tail[row] = rest.reduceRight((sum, x) => sum + Math.exp(x - logSum), 0);
  }
  return [ids, logProbs, tail];
}
