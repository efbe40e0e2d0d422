/** What a task's prompts are like to the base: the mean of what its head would read at the last token of each. */
import { type Batch, batchKey, isTokens, type TokenBatch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";

/** Places of the last token before the first that counts; of rows that count from the beginning, of their last one. */
function promptEnds({ documents, labels, length }: TokenBatch): number[] {
  return documents.map(({ sequence, row, start }) => {
    const at = row * length + start;
    const asked = labels.subarray(at, at + sequence.ids.length).findIndex((label) => label >= 0);
    return at + (asked > 1 ? asked : sequence.ids.length) - 1;
  });
}

/** Means of the prompts of every task, (width) each, by the model without its adapter. */
export async function taskEmbeddings(model: Model, tasks: readonly (readonly Batch[])[]): Promise<Float64Array[]> {
  const programs = new Programs(model.gpu);
  try {
    const found: Float64Array[] = [];
    for (const batches of tasks) {
      let mean = new Float64Array();
      let rows = 0;
      for (const batch of batches) {
        const { program } = await programs.get(batchKey(batch), (rec) => {
          rec.output("hidden", model.record(rec, recordInputs(rec, batch), { adapter: false }).hidden);
        });
        fillInputs(program, batch);
        program.run();
        const hidden = await program.read("hidden");
        const places = isTokens(batch) ? promptEnds(batch) : Array.from({ length: batch.rows }, (_, row) => row);
        const width = hidden.length / (batch.rows * batch.length);
        if (mean.length === 0) mean = new Float64Array(width);
        for (const place of places) for (let i = 0; i < width; i++) mean[i]! += hidden[place * width + i]!;
        rows += places.length;
      }
      found.push(mean.map((value) => value / rows));
    }
    return found;
  } finally {
    programs.free();
  }
}

/**
 * Conditions of a network, (T, d): embeddings less their mean over the tasks, of root mean square 1. Embeddings that
 * are all the same are zeros, which tell no task from another.
 */
export function conditionsOf(embeddings: readonly Float64Array[]): Float32Array {
  const width = embeddings[0]!.length;
  const mean = embeddings[0]!.map((_, i) => embeddings.reduce((total, own) => total + own[i]! / embeddings.length, 0));
  const centred = embeddings.flatMap((own) => [...own.map((value, i) => value - mean[i]!)]);
  const size = Math.sqrt(centred.reduce((total, value) => total + value ** 2, 0) / (width * embeddings.length));
  return Float32Array.from(centred, (value) => (size > 1e-12 ? value / size : 0));
}
