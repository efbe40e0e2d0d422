/** What probes share that look at each model by itself, at all rows of the data. */
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { readBatches } from "../run/batches-in-order.ts";
import type { LoadedModel } from "../run/measuring/loaded-model.ts";
import type { TechniqueInfo, TechniqueSetup } from "./technique.ts";

/** Throws UserError for options that a probe has no use for which looks at inner values. */
export function refuseMeasures(name: string, { metrics, gold }: Pick<TechniqueInfo, "metrics" | "gold">): void {
  if (metrics.length > 0)
    throw new UserError(`--metric has no effect with --probe ${name}, which looks at inner values`, "leave it out");
  if (gold) throw new UserError(`--gold has no effect with --probe ${name}`, "give the model as one more argument");
}

/** One model after the other, with the rows in batches of `size`; gives what `look` gives. */
export async function lookAt<T>(
  { candidates, groups, quantize, loader, signal }: TechniqueSetup,
  { size, trained = false }: { readonly size: number; readonly trained?: boolean },
  look: (loaded: LoadedModel, batches: readonly Batch[]) => Promise<T>,
): Promise<T[]> {
  const found: T[] = [];
  for (const [i, checkpoint] of candidates.entries()) {
    signal.throwIfAborted();
    const loaded = await loader.load(checkpoint, { bits: quantize, trained });
    try {
      const { batches } = await readBatches(groups, loaded, size);
      const all = batches.reduce((sum, { rows }) => sum + rows, 0);
      if (i === 0) loader.begin(candidates.length * all, "rows");
      found.push(await look(loaded, batches));
      loader.tick(loaded.ref, all);
    } finally {
      await loaded.free();
    }
  }
  return found;
}
