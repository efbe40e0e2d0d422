/** What theta0 thinks of rows, one number each, so that no second model is held while training. */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { Scorer } from "./scorer.ts";

/** -log likelihood of every sequence's counted tokens, summed in f64. */
export async function likelihoods(
  model: Model,
  sequences: readonly Sequence[],
  { rows, pad, signal }: { readonly rows: number; readonly pad: number; readonly signal: AbortSignal },
): Promise<number[]> {
  const scorer = new Scorer(model);
  const sums: number[] = [];
  for await (const part of inBatches(sequences, rows)) {
    signal.throwIfAborted();
    const batch: TokenBatch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    const { nll } = await scorer.score(batch);
    for (let row = 0; row < batch.rows; row++) {
      let sum = 0;
      for (let i = row * batch.length; i < (row + 1) * batch.length; i++) sum += nll[i]!;
      sums.push(sum);
    }
  }
  await scorer.free();
  return sums;
}
