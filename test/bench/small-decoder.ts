/** What benches of training steps share: a small Llama, rows for it, and options of their command line. */
import { collate } from "../../src/data/batch.ts";

/** The value behind a flag of the command line. */
export const option = (name: string): string | undefined =>
  process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined;

export const SMALL_DECODER = {
  model_type: "llama",
  hidden_size: 256,
  intermediate_size: 688,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  vocab_size: 512,
  max_position_embeddings: 256,
};

/** Rows of so many tokens, all of which count. */
export function rowsOf(rows: number, length: number) {
  const ids = (row: number) => Int32Array.from({ length }, (_, i) => (row * 7919 + i * i * 31 + i) % 512);
  return collate(
    Array.from({ length: rows }, (_, row) => [{ ids: ids(row), labels: ids(row), group: 0, place: `${row}` }]),
  );
}
