/** Batches of which some rows are moved against the model that is trained on them, as it is at that step. */
import type { ExampleBatch, NumbersBatch } from "../../data/batch.ts";
import type { BatchSource } from "../training/batch-source.ts";
import type { Adversary } from "./adversary.ts";

export interface MovedShare {
  /** Share of the rows that are moved, rounded up; all when left out. */
  readonly share?: number;
  /** Whether moved rows come after all rows as they are, in place of them. */
  readonly beside?: boolean;
}

function numbers(batch: ExampleBatch): NumbersBatch {
  if (!("x" in batch)) throw new TypeError("texts are not moved");
  return batch;
}

/** The first rows of a batch, `count` of them. */
function first(batch: NumbersBatch, count: number): NumbersBatch {
  return {
    ...batch,
    rows: count,
    counted: count,
    labels: batch.labels.subarray(0, count),
    places: batch.places.slice(0, count),
    x: batch.x.subarray(0, count * (batch.x.length / batch.rows)),
  };
}

const twice = (values: Int32Array): Int32Array => Int32Array.from([...values, ...values]);

/** A batch with its rows once more after them, whose inputs are `x`. */
function joined(batch: NumbersBatch, x: Float32Array): NumbersBatch {
  const all = new Float32Array(batch.x.length + x.length);
  all.set(batch.x);
  all.set(x, batch.x.length);
  return {
    ...batch,
    rows: 2 * batch.rows,
    counted: 2 * batch.counted,
    labels: twice(batch.labels),
    tasks: twice(batch.tasks),
    places: [...batch.places, ...batch.places],
    x: all,
    moved: batch.rows,
    ...(batch.weights ? { weights: Float32Array.from([...batch.weights, ...batch.weights]) } : {}),
  };
}

/** The batch with a share of its rows moved; `round` is a part of what names their starts. */
async function moved(
  batch: NumbersBatch,
  adversary: Adversary,
  { share = 1, beside = false }: MovedShare,
  round: number,
): Promise<NumbersBatch> {
  const part = first(batch, Math.ceil(share * batch.rows));
  const names = Array.from(part.labels, (_, i) => `${round} ${batch.places[i] ?? i}`);
  const { x } = await adversary.move(part, names);
  if (beside) return joined(batch, x);
  const all = Float32Array.from(batch.x);
  all.set(x);
  return { ...batch, x: all };
}

/**
 * The batches of `source` with rows of each moved. Where a row's move begins follows from the epoch and the row. Throws
 * TypeError for batches of texts.
 */
export function adversarialBatches(
  source: BatchSource<ExampleBatch>,
  adversary: Adversary,
  how: MovedShare = {},
): BatchSource<ExampleBatch> {
  return {
    ...source,
    largest() {
      const batch = numbers(source.largest());
      return how.beside ? joined(batch, batch.x) : batch;
    },
    async next() {
      const { batch, epoch } = await source.next();
      return { batch: await moved(numbers(batch), adversary, how, epoch), epoch };
    },
  };
}

/** Takes the memory of an adversary for the largest batch of a source. Throws TypeError for batches of texts. */
export async function prepareAdversary(
  source: BatchSource<ExampleBatch>,
  adversary: Adversary,
  { share = 1 }: MovedShare = {},
): Promise<void> {
  const batch = numbers(source.largest());
  await adversary.prepare(first(batch, Math.ceil(share * batch.rows)));
}
