/**
 * Noise in the place of rows to forget, with their labels: inputs that begin as normal noise and climb the loss that
 * the model has on the label, by the sign of the gradient. Of classifiers of numbers and images.
 */
import type { Batch, NumbersBatch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { keyedNormals } from "../keyed-random.ts";
import type { Model } from "../model/model.ts";
import { Adversary, type Attack } from "../run/adversarial/adversary.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { UnlearnBatch } from "./batches.ts";

export interface ErrorNoise {
  /** Steps up the loss, and their length in every number. */
  readonly steps: number;
  readonly rate: number;
}

/** Noise for every row, by its place. */
export type NoiseRows = ReadonlyMap<string, Float32Array>;

/** Whether a batch is of numbers. */
const isNumbers = (batch: Batch): batch is NumbersBatch => "x" in batch;

/** Makes the noise of the rows of `batches` against the model as it is. Throws UserError for rows of text. */
export async function errorNoise(
  model: Model,
  batches: readonly Batch[],
  { steps, rate, seed }: ErrorNoise & { readonly seed: number },
): Promise<NoiseRows> {
  const attack: Attack = {
    norm: "linf",
    epsilon: steps * rate,
    steps,
    stepSize: rate,
    randomStart: false,
    range: [-1e30, 1e30],
    seed,
  };
  const adversary = new Adversary(
    model.gpu,
    (rec, inputs) => {
      const { hidden, head } = model.record(rec, inputs);
      return head(hidden);
    },
    attack,
  );
  const found = new Map<string, Float32Array>();
  try {
    for (const batch of batches) {
      if (!isNumbers(batch))
        throw new UserError(
          "noise is made in the place of rows of numbers and images, and these are texts",
          "take another method",
        );
      const size = batch.x.length / batch.rows;
      const x = new Float32Array(batch.x.length);
      for (const [row, place] of batch.places.entries())
        x.set(keyedNormals(size, 1, seed, `noise ${place}`), row * size);
      const { x: moved } = await adversary.move({ ...batch, x }, batch.places);
      for (const [row, place] of batch.places.entries()) found.set(place, moved.slice(row * size, (row + 1) * size));
    }
  } finally {
    adversary.free();
  }
  return found;
}

/** Batches whose rows to forget are noise. `noise` is asked for once, before the first of them. */
export function noisyBatches(
  source: BatchSource<UnlearnBatch>,
  noise: () => Promise<NoiseRows>,
): BatchSource<UnlearnBatch> {
  let known: Promise<NoiseRows> | undefined;
  const replaced = (batch: UnlearnBatch, rows: NoiseRows): UnlearnBatch => {
    const { forget } = batch;
    if (!isNumbers(forget)) return batch;
    const x = new Float32Array(forget.x.length);
    const size = x.length / forget.rows;
    for (const [row, place] of forget.places.entries()) x.set(rows.get(place)!, row * size);
    return { ...batch, forget: { ...forget, x } };
  };
  return {
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest: () => source.largest(),
    async next() {
      known ??= noise();
      const { batch, epoch } = await source.next();
      return { batch: replaced(batch, await known), epoch };
    },
    state: () => source.state(),
    load: (state, what) => source.load(state, what),
  };
}
