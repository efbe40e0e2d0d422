/** What losses of denoisers share: labels that are left out, and what rows weigh. */
import type { Batch, NumbersBatch } from "../../data/batch.ts";
import type { Random } from "../../data/random.ts";
import type { Options } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";

/** The option by which a model learns rows of no class beside those of its classes. */
export const LABEL_DROP = {
  type: "0 <= number <= 1",
  default: 0.1,
  help: "share of rows whose label is left out, so that the model knows rows of no class, too",
  value: "P",
} as const satisfies Options[string];

/** A batch of numbers. Throws TypeError for another. */
export function numbersOf(batch: Batch): NumbersBatch {
  if ("x" in batch) return batch;
  throw new TypeError("denoisers learn rows of numbers");
}

/** The class of every row: the number of classes where it has none, and where its label is left out. */
export const droppedLabels = ({ labels }: NumbersBatch, { sizes }: Model, share: number, random: Random): Int32Array =>
  labels.map((label) => (random.uniform() < share || label < 0 ? sizes.outputs : label));

/** (B) weight / total of every row. */
export const rowShares = ({ rows, weights }: NumbersBatch, total: number): Float32Array =>
  Float32Array.from({ length: rows }, (_, row) => (weights?.[row] ?? 1) / total);
