/** What a policy would do in logged contexts. */
import { batchKey } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { LoggedRow } from "./rows.ts";
import { examplesOf } from "./training.ts";

/** (rows, actions) probabilities of a classifier of numbers, `rows` contexts at a time. */
export async function decisionsOf(
  model: Model,
  rows: readonly LoggedRow[],
  { at, inputs, signal }: { readonly at: number; readonly inputs: number; readonly signal: AbortSignal },
): Promise<Float32Array[]> {
  const programs = new Programs(model.gpu);
  const actions = model.sizes.outputs;
  const found: Float32Array[] = [];
  for (let from = 0; from < rows.length; from += at) {
    signal.throwIfAborted();
    const examples = examplesOf(rows.slice(from, from + at), [inputs]);
    const { program } = await programs.get(batchKey(examples), (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, examples));
      rec.output("probabilities", softmax(rec, head(hidden)));
    });
    fillInputs(program, examples);
    await program.start();
    const all = await program.read("probabilities");
    for (let i = 0; i < examples.rows; i++) found.push(all.slice(i * actions, (i + 1) * actions));
  }
  programs.free();
  return found;
}
