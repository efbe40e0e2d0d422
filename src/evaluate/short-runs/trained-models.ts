/** Models that a probe trains, one after the other. */
import type { LoadedModel } from "../../run/measuring/loaded-model.ts";
import type { TechniqueSetup } from "../technique.ts";

/** What `work` finds of each candidate, which is loaded so that it can be trained and freed behind it. */
export async function eachTrained<R>(
  { candidates, quantize: bits, loader, signal }: Pick<TechniqueSetup, "candidates" | "quantize" | "loader" | "signal">,
  work: (loaded: LoadedModel) => Promise<R>,
): Promise<R[]> {
  const found: R[] = [];
  for (const checkpoint of candidates) {
    signal.throwIfAborted();
    const loaded = await loader.load(checkpoint, { trained: true, bits });
    try {
      found.push(await work(loaded));
    } finally {
      await loaded.free();
    }
  }
  return found;
}
