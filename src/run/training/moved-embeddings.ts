/** Texts whose embeddings are moved: what the first block reads, and what a batch adds to it. */
import type { Batch } from "../../data/batch.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { FIRST } from "./mixed-embeddings.ts";

export const MOVES = "moves of embeddings";

/** Gives the tensor that takes the place of a noted one: the first block's input, with what the batch adds to it. */
export const movedEmbeddings =
  (rec: Recorder) =>
  (name: string, x: Tensor): Tensor =>
    name === FIRST ? add(rec, x, rec.input(MOVES, x.shape)) : x;

/** Fills what `movedEmbeddings` declared: nothing moves where the batch does not say how. */
export function fillMoves(program: Program, { moves }: Batch): void {
  const shape = program.inputShape(MOVES);
  if (shape) program.write(MOVES, moves ?? new Float32Array(sizeOf(shape)));
}
