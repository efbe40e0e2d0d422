/**
 * Passes in which every row goes its own way through the layers: all turns of a layer are computed, and each row takes
 * the state after as many as it chose. One program serves all ways; it saves no time.
 */
import type { Batch } from "../../data/batch.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Depth } from "../../model/depth.ts";
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
 * A pass of which `sharesOf` gives, for a layer and its input (N, C), how much of the state after no turn, after one and
 * so on a row takes: (B, 1, 1) or (1, 1, 1) each. Of shares 1 and 0 the result is that state, bit for bit.
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

const nameOf = (layer: number, turn: number): string => `layer ${layer} after ${turn}`;

/**
 * Ways that are given before each run. `times` says how often a row of the batch runs each layer, at most `most` times;
 * it is asked when a batch is filled.
 */
export function givenTurns(
  layers: number,
  most: number,
  times: (batch: Batch, row: number) => readonly number[],
): RowDepth {
  const turns = Array.from({ length: most + 1 }, (_, turn) => turn);
  return {
    record: (rec, { batch }) =>
      mixedTurns(rec, batch, (layer) => turns.map((turn) => rec.input(nameOf(layer, turn), [batch, 1, 1]))),
    fill(program, batch) {
      const own = Array.from({ length: batch.rows }, (_, row) => times(batch, row));
      for (let layer = 0; layer < layers; layer++)
        for (const turn of turns)
          program.write(
            nameOf(layer, turn),
            Float32Array.from(own, (counts) => (counts[layer] === turn ? 1 : 0)),
          );
    },
  };
}
