/** Batches of nothing but a number of rows, for trainings whose rows are drawn from noise by seed and step. */
import type { BatchSource } from "../training/batch-source.ts";

/** So many rows of a step. */
export interface NoiseBatch {
  readonly rows: number;
}

export function noiseSource(rows: number): BatchSource<NoiseBatch> {
  let batch = 0;
  return {
    groups: [{ name: "noise", rows }],
    batchesPerEpoch: 1,
    largest: () => ({ rows }),
    next() {
      batch++;
      return { batch: { rows }, epoch: 0 };
    },
    state: () => ({ made_with: { rows: `${rows}` }, epoch: 0, batch, drawn: [rows] }),
    load() {},
  };
}
