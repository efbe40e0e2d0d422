/**
 * Runs on subsets of tasks, from which task-weights.ts makes weights: one on a small subset of every task, and for
 * every task one on all of it with the small subsets of the others.
 */
import { permutation } from "../data/shuffle.ts";
import { normalised } from "../run/simplex.ts";
import type { ShortRun } from "./short-runs.ts";
import { MixtureSource, type Rows } from "./source.ts";

export interface SubsetOptions {
  /** Share of a task's rows in its small subset; at least one row. */
  readonly mini: number;
  /** Passes over the rows of a run. */
  readonly passes: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** The runs: that on small subsets first, then one per task in their order. Groups are drawn by their rows. */
export function subsetRuns(rows: Rows, { mini, passes, batchSize, seed }: SubsetOptions): ShortRun[] {
  const members = rows.names.map((_, g) => [...rows.group.keys()].filter((row) => rows.group[row] === g));
  const small = members.map((own, g) => {
    const kept = new Set(
      permutation(own.length, seed, 0, `mini ${g}`).subarray(0, Math.max(1, Math.round(mini * own.length))),
    );
    return own.filter((_, at) => kept.has(at));
  });
  const run = (on: string, chosen: readonly (readonly number[])[]): ShortRun => {
    const part = rows.part(chosen.flat());
    const source = new MixtureSource(part, { batchSize, seed, shuffle: true });
    source.probs = normalised(part.counts.map((group) => group.rows));
    return { on, source, steps: Math.max(1, Math.round(passes * source.batchesPerEpoch)) };
  };
  return [
    run("small subsets", small),
    ...members.map((own, i) =>
      run(
        `all of ${rows.names[i]}`,
        small.map((part, g) => (g === i ? own : part)),
      ),
    ),
  ];
}
