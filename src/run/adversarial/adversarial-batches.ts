/** Batches of which some rows are moved against the model that is trained on them, as it is at that step. */
import type { ExampleBatch, NumbersBatch } from "../../data/batch.ts";
import type { BatchSource } from "../training/batch-source.ts";
import type { Adversary } from "./adversary.ts";

const isNumbers = (batch: ExampleBatch): batch is NumbersBatch => "x" in batch;

/** The first rows of a batch, `count` of them, and the others. */
function cut(batch: NumbersBatch, count: number): { first: NumbersBatch; rest: Float32Array } {
  const size = batch.x.length / batch.rows;
  const first = {
    ...batch,
    rows: count,
    counted: count,
    labels: batch.labels.subarray(0, count),
    places: batch.places.slice(0, count),
    x: batch.x.subarray(0, count * size),
  };
  return { first, rest: batch.x.subarray(count * size) };
}

/** The batch with a share of its rows moved, rounded up; `round` is a part of what names their starts. */
async function moved(batch: NumbersBatch, adversary: Adversary, share: number, round: number): Promise<NumbersBatch> {
  const { first, rest } = cut(batch, Math.ceil(share * batch.rows));
  const names = Array.from(first.labels, (_, i) => `${round} ${batch.places[i] ?? i}`);
  const { x } = await adversary.move(first, names);
  const all = new Float32Array(batch.x.length);
  all.set(x);
  all.set(rest, x.length);
  return { ...batch, x: all };
}

/**
 * The batches of `source` with a share of the rows of each moved. Where a row's move begins follows from the epoch and
 * the row. Throws TypeError for batches of texts.
 */
export function adversarialBatches(
  source: BatchSource<ExampleBatch>,
  adversary: Adversary,
  { share = 1 }: { readonly share?: number } = {},
): BatchSource<ExampleBatch> {
  return {
    ...source,
    async next() {
      const { batch, epoch } = await source.next();
      if (!isNumbers(batch)) throw new TypeError("texts are not moved");
      return { batch: await moved(batch, adversary, share, epoch), epoch };
    },
  };
}

/** Takes the memory of an adversary for the largest batch of a source. Throws TypeError for batches of texts. */
export async function prepareAdversary(
  source: BatchSource<ExampleBatch>,
  adversary: Adversary,
  { share = 1 }: { readonly share?: number } = {},
): Promise<void> {
  const batch = source.largest();
  if (!isNumbers(batch)) throw new TypeError("texts are not moved");
  await adversary.prepare(cut(batch, Math.ceil(share * batch.rows)).first);
}
