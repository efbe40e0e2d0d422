/** What the probes of a mixture's experts share: the loads of every model, and what they refuse. */
import { UserError } from "../errors.ts";
import { readBatches } from "../run/batches-in-order.ts";
import { expertLoads, type GroupLoad } from "../run/tracing/expert-loads.ts";
import type { TechniqueInfo, TechniqueSetup } from "./technique.ts";

/** Throws UserError for what has no effect. */
export function checkExpertProbe({ metrics, gold }: Pick<TechniqueInfo, "metrics" | "gold">, name: string): void {
  if (metrics.length > 0) throw new UserError(`--metric has no effect with --probe ${name}`, "leave it out");
  if (gold) throw new UserError(`--gold has no effect with --probe ${name}`, "give the model as one more argument");
}

/** Loads of the experts of every model: by layer, then by group of the data. */
export async function loadsOfModels(
  { groups, candidates, quantize, loader, signal }: Omit<TechniqueSetup, "values">,
  batch: number,
): Promise<{ readonly model: string; readonly layers: ReadonlyMap<number, readonly GroupLoad[]> }[]> {
  const found: { model: string; layers: ReadonlyMap<number, readonly GroupLoad[]> }[] = [];
  for (const [i, checkpoint] of candidates.entries()) {
    const loaded = await loader.load(checkpoint, { bits: quantize });
    const { model, ref } = loaded;
    const { batches } = await readBatches(groups, loaded, batch);
    if (i === 0) loader.begin(candidates.length * batches.reduce((sum, { rows }) => sum + rows, 0), "rows");
    const done = (rows: number) => loader.tick(ref, rows);
    const layers = await expertLoads(model, batches, { ref, groups: groups.length, signal, done });
    found.push({ model: ref, layers });
    await loaded.free();
  }
  return found;
}
