/**
 * Tokens that an adapter puts before every sequence. They are the same for all sequences of a batch and see none of
 * them, so that their keys and values are made once, and every sequence attends to these before its own.
 */
import { UserError } from "../errors.ts";
import { shiftPositions, withAhead, withoutAhead } from "../tensor/ops/ahead.ts";
import { attention } from "../tensor/ops/attention.ts";
import type { AttentionOptions } from "../tensor/ops/attention-options.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { cacheWrite } from "../tensor/ops/kv-cache.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../tensor/tensor.ts";
import type { KeysValues } from "./adapters/live-adapter.ts";
import type { Inputs, KvCache, TokenInputs } from "./architecture.ts";

/** Inputs of sequences that so many tokens stand before. Throws UserError for packed rows. */
export function inputsBehind(rec: Recorder, inputs: Inputs, tokens: number): TokenInputs {
  if (!("positions" in inputs)) throw new TypeError("tokens stand before sequences of a language model alone");
  if (inputs.segments)
    throw new UserError(
      "several sequences are packed into a row, and the adapter puts tokens before each of them",
      "leave them unpacked",
    );
  return { ...inputs, positions: shiftPositions(rec, inputs.positions, tokens), ahead: tokens };
}

/** Inputs of the tokens themselves: one sequence, at the first positions. The ids stand for nothing. */
export function inputsAhead(rec: Recorder, tokens: number): TokenInputs {
  const positions = rec.constant(
    Int32Array.from({ length: tokens }, (_, i) => i),
    [tokens],
    "first positions",
  );
  const ids = rec.constant(new Int32Array(tokens), [tokens], "tokens ahead");
  return { batch: 1, length: tokens, ids, positions };
}

/** Attention of sequences over what stands before them and over themselves. (B T, H D) */
export function behind(
  rec: Recorder,
  { q, k, v }: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  { keys, values }: KeysValues,
  options: AttentionOptions,
): Tensor {
  const { batch } = options;
  const n = rowsOf(keys).rows;
  const { width } = rowsOf(q);
  // Queries of the tokens before are zeros, whose results nothing reads.
  const unasked = rec.constant(new Float32Array(n * width), [n, width], "no queries");
  const all = [q, k, v].map((own, i) => withAhead(rec, [unasked, keys, values][i]!, own, batch));
  return withoutAhead(rec, attention(rec, all[0]!, all[1]!, all[2]!, options), n, batch);
}

/** Writes keys and values of the first positions into every row of a cache. */
export function fillAhead(rec: Recorder, cache: KvCache, layers: readonly KeysValues[]): void {
  const { batch, capacity } = cache;
  for (const [layer, { keys, values }] of layers.entries()) {
    const { rows: n, width } = rowsOf(keys);
    const each = rec.constant(
      Int32Array.from({ length: batch * n }, (_, i) => i % n),
      [batch * n],
      "first positions of every row",
    );
    const held = cache.layer(layer, width);
    cacheWrite(rec, embedding(rec, each, keys), held.keys, each, { batch, capacity });
    cacheWrite(rec, embedding(rec, each, values), held.values, each, { batch, capacity });
  }
}
