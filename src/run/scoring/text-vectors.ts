/** Vectors of texts: the mean over their tokens of what a language model's head reads. */
import { collate } from "../../data/batch.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Model } from "../../model/model.ts";
import { mul, sumTo } from "../../tensor/ops/elementwise.ts";
import { rowsOf } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import type { ScoredRow } from "./scored-row.ts";

export interface VectorOptions {
  /** Texts that are read at once. */
  readonly rows: number;
  readonly signal?: AbortSignal | undefined;
}

/** Of each text a vector (C); none of one without tokens. A text that is longer than the model reads is cut. */
export async function textVectors(
  model: Model,
  tokenizer: Tokenizer,
  texts: readonly string[],
  { rows, signal }: VectorOptions,
): Promise<(Float32Array | undefined)[]> {
  const programs = new Programs<number>(model.gpu);
  const found = new Map<string, Float32Array>();
  const sequences = [...new Set(texts)].flatMap((text) => {
    const ids = encodePrompt(tokenizer, text).slice(0, model.sizes.maxPositions);
    return ids.length > 0 ? [{ text, ids, labels: ids, group: 0, place: text }] : [];
  });
  try {
    for (let at = 0; at < sequences.length; at += rows) {
      signal?.throwIfAborted();
      const part = sequences.slice(at, at + rows);
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad: tokenizer.pad ?? 0 },
      );
      const { program, recorded: width } = await programs.get(`${batch.rows} ${batch.length}`, (rec) => {
        const { hidden } = model.record(rec, recordInputs(rec, batch));
        const { width } = rowsOf(hidden);
        const grid = rec.reshape(hidden, [batch.rows, batch.length, width]);
        const weighed = mul(rec, grid, rec.input("weights", [batch.rows, batch.length, 1]));
        rec.output("vectors", sumTo(rec, weighed, [batch.rows, 1, width]));
        return width;
      });
      fillInputs(program, batch);
      const weights = new Float32Array(batch.rows * batch.length);
      for (const [row, { ids }] of part.entries())
        weights.fill(1 / ids.length, row * batch.length, row * batch.length + ids.length);
      program.write("weights", weights);
      program.run();
      const values = await program.read("vectors");
      for (const [row, { text }] of part.entries()) found.set(text, values.slice(row * width, (row + 1) * width));
    }
  } finally {
    programs.free();
  }
  return texts.map((text) => found.get(text));
}

/** Of two vectors; 0 where one of them has no length. */
function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (const [j, x] of a.entries()) {
    dot += x * b[j]!;
    aa += x * x;
    bb += b[j]! ** 2;
  }
  return aa > 0 && bb > 0 ? dot / Math.sqrt(aa * bb) : 0;
}

/** Rows whose generated answers tell how alike they are to the right ones, as an encoder has it. */
export async function withLikeness(
  rows: readonly ScoredRow[],
  encoder: Model,
  tokenizer: Tokenizer,
  options: VectorOptions,
): Promise<ScoredRow[]> {
  const texts = rows.flatMap(({ generated }) => (generated ? [generated.found, generated.expected] : []));
  const vectors = await textVectors(encoder, tokenizer, texts, options);
  let at = 0;
  return rows.map((row) => {
    const { generated } = row;
    if (!generated) return row;
    const [found, expected] = [vectors[at], vectors[at + 1]];
    at += 2;
    const isSame = generated.found === generated.expected;
    const likeness = isSame ? 1 : found && expected ? cosine(found, expected) : 0;
    return { ...row, generated: { ...generated, likeness } };
  });
}
