/**
 * Passes in which every row goes its own way through the layers: all turns of a layer are computed, and each row takes
 * the state after as many as it chose. One program serves all ways; it saves no time.
 */
import type { Batch } from "../../data/batch.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Depth } from "../../model/depth.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What decides for the rows of a batch. */
export interface RowDepth {
  /** Records what decides. */
  record(rec: Recorder, inputs: Inputs): Depth;
  /** Fills what was recorded before each run. */
  fill(program: Program, batch: Batch): void;
}

/**
 * A pass of which `sharesOf` gives, for a layer and its input (N, C), how much of the state after no turn, after one
 * and so on a row takes: (B, 1, 1) or (1, 1, 1) each. Of shares 1 and 0 the result is that state, bit for bit.
 */
export function mixedTurns(
  rec: Recorder,
  rows: number,
  sharesOf: (layer: number, x: Tensor) => readonly Tensor[],
): Depth {
  return {
    turn(layer, x, run) {
      const shares = sharesOf(layer, x);
      const [n = 0, width = 0] = x.shape;
      let state = x;
      let sum: Tensor | undefined;
      for (const [turn, share] of shares.entries()) {
        if (turn > 0) state = run(state);
        const part = mul(rec, rec.reshape(state, [rows, n / rows, width]), share);
        sum = sum ? add(rec, sum, part) : part;
      }
      return rec.reshape(sum!, [n, width]);
    },
  };
}

/** Shares (B, 1, 1) of the columns of a matrix (B, turns). */
export function sharesIn(rec: Recorder, matrix: Tensor): Tensor[] {
  const [rows = 0, turns = 0] = matrix.shape;
  return splitColumns(rec, matrix, Array<number>(turns).fill(1)).map((share) => rec.reshape(share, [rows, 1, 1]));
}

const nameOf = (layer: number): string => `turns of layer ${layer}`;

/** Records how often rows run a layer, (B, most + 1): 1 at the number of turns. Filled by `fillTurns`. */
export const recordTurns = (rec: Recorder, layer: number, rows: number, most: number): Tensor =>
  rec.input(nameOf(layer), [rows, most + 1]);

/** Fills what `recordTurns` recorded for all layers, by row and layer. */
export function fillTurns(program: Program, layers: number, most: number, times: readonly (readonly number[])[]): void {
  for (let layer = 0; layer < layers; layer++) {
    const marks = new Float32Array(times.length * (most + 1));
    for (const [row, counts] of times.entries()) marks[row * (most + 1) + (counts[layer] ?? 1)] = 1;
    program.write(nameOf(layer), marks);
  }
}

/**
 * Ways that are given before each run. `times` says how often a row of the batch runs each layer, at most `most` times;
 * it is asked when a batch is filled.
 */
export const givenTurns = (
  layers: number,
  most: number,
  times: (batch: Batch, row: number) => readonly number[],
): RowDepth => ({
  record: (rec, { batch }) => mixedTurns(rec, batch, (layer) => sharesIn(rec, recordTurns(rec, layer, batch, most))),
  fill(program, batch) {
    const all = Array.from({ length: batch.rows }, (_, row) => times(batch, row));
    fillTurns(program, layers, most, all);
  },
});
