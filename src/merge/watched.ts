/** A merge whose tensors are looked at on their way to the file, and what is to be said of them at the end. */
import { FiniteWatch, type Origins } from "./finite.ts";
import { InputWatch } from "./job/input-watch.ts";
import type { TensorSink } from "./job/ordered-writer.ts";
import { type MergeRun, mergeTensors } from "./job/run.ts";
import { Notes } from "./plan/notes.ts";

/**
 * Merges every tensor into `sink`, in order. Gives what tells the remarks, which reads inputs again: call it when the
 * result is written. Rejects as `mergeTensors` does.
 */
export async function mergeWatched(
  run: MergeRun & { readonly sink: TensorSink },
): Promise<(origins: Origins) => Promise<string[]>> {
  const finite = new FiniteWatch(run.tasks);
  const inputs = new InputWatch(run.gpu, run.tasks);
  const notes = new Notes();
  const settings = { ...run.settings, inputs, remark: (what: string, tensor: string) => notes.add(what, tensor) };
  await mergeTensors({ ...run, sink: finite.sink(run.sink), settings });
  return async (origins) => [...notes.lines(), ...(await finite.remarks(origins, await inputs.found()))];
}
