/** What a language model makes of whole rows: means of its last hidden states. */
import { batchKey, collate } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** The mean of the last hidden states of every row, over its tokens: (C) each. */
export async function meanStates(
  model: Model,
  sequences: readonly Sequence[],
  { rows, pad, signal }: { readonly rows: number; readonly pad: number; readonly signal: AbortSignal },
): Promise<Float64Array[]> {
  const programs = new Programs(model.gpu);
  const states: Float64Array[] = [];
  for await (const part of inBatches(sequences, rows)) {
    signal.throwIfAborted();
    const batch = collate(
      part.map((sequence) => [sequence]),
      { pad },
    );
    const { program } = await programs.get(batchKey(batch), (rec) => {
      rec.output("hidden", model.record(rec, recordInputs(rec, batch)).hidden);
    });
    fillInputs(program, batch);
    program.run();
    const hidden = await program.read("hidden"); // (B T, C)
    const width = hidden.length / (batch.rows * batch.length);
    for (let row = 0; row < batch.rows; row++) {
      const state = new Float64Array(width);
      const tokens = batch.lengths[row]!;
      for (let t = 0; t < tokens; t++)
        for (let c = 0; c < width; c++) state[c]! += hidden[(row * batch.length + t) * width + c]! / tokens;
      states.push(state);
    }
  }
  programs.free();
  return states;
}
