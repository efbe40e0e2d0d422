/** What every model of a merge loses on the rows by itself, for searches that weigh models by it. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { loaderOf, type RunnerSetup } from "./trial-runner.ts";

/** Nats of every token that counts, in the order of the rows, one list per model. One model is loaded at a time. */
export async function tokenLosses(setup: RunnerSetup, models: readonly Checkpoint[]): Promise<Float64Array[]> {
  const loader = loaderOf(setup);
  const losses: Float64Array[] = [];
  for (const checkpoint of models) {
    setup.signal.throwIfAborted();
    const loaded = await loader.load(checkpoint);
    try {
      const rows = await loaded.score(setup.groups);
      losses.push(Float64Array.from(rows.flatMap(({ nll }) => [...nll])));
    } finally {
      await loaded.free();
    }
  }
  return losses;
}
