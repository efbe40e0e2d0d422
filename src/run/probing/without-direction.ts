/** Losses of rows of a language model from one of whose hidden states a direction is taken out. */
import { collate } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { mul, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** x - (x d) d of every row, d (1, C) of length 1. */
function without(rec: Recorder, x: Tensor, direction: Tensor): Tensor {
  const { rows, width } = rowsOf(x);
  const flat = rec.reshape(x, [rows, width]);
  const along = sumTo(rec, mul(rec, flat, direction), [rows, 1]);
  return rec.reshape(sub(rec, flat, mul(rec, along, direction)), x.shape);
}

/**
 * Sums of the losses of the tokens that count, in nats, by sequence: as `layer` ("hidden.3") is less its part along
 * `direction` (of length 1, or zeros: the model as it is), at every token.
 */
export async function lossesWithout(
  model: Model,
  sequences: readonly Sequence[],
  {
    layer,
    direction,
    rows,
    pad,
    signal,
  }: { layer: string; direction: Float32Array; rows: number; pad: number; signal: AbortSignal },
): Promise<number[]> {
  const programs = new Programs(model.gpu);
  const found: number[] = [];
  try {
    for (let at = 0; at < sequences.length; at += rows) {
      signal.throwIfAborted();
      const part = sequences.slice(at, at + rows);
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad },
      );
      const { program } = await programs.get(`${batch.rows} ${batch.length}`, (rec) => {
        const axis = rec.input("direction", [1, direction.length]);
        const replace = (name: string, x: Tensor) => (name === layer ? without(rec, x, axis) : x);
        const { hidden, head } = model.record(rec, recordInputs(rec, batch), { replace });
        const targets = rec.input("targets", [batch.rows * batch.length], "i32");
        rec.output("nll", headLoss(rec, { hidden, head, width: model.sizes.outputs, targets }));
      });
      fillInputs(program, batch);
      program.write("direction", direction);
      const targets = new Int32Array(batch.rows * batch.length).fill(-1);
      for (const [row, { labels }] of part.entries())
        for (let i = 1; i < labels.length; i++) targets[row * batch.length + i - 1] = labels[i]!;
      program.write("targets", targets);
      program.run();
      const nll = await program.read("nll");
      for (const row of part.keys())
        found.push(nll.subarray(row * batch.length, (row + 1) * batch.length).reduce((sum, loss) => sum + loss, 0));
    }
  } finally {
    programs.free();
  }
  return found;
}
