/** Whether a file can be written, asked before the work whose result decides what is in it. */
import { createWriter, isPipe } from "./write.ts";

/** Throws UserError as `createWriter` does for the target alone; writes nothing. Does not try pipes and the Hub. */
export async function tryTarget(target: string): Promise<void> {
  if (isPipe(target) || target.startsWith("hf:")) return;
  await (await createWriter(target, { tensors: [], files: new Map(), lineage: [], gguf: new Map() })).abort();
}
