/** Searches ways for many rows at once: every row has a tree, and a batch tries the next way of each. */
import type { Sequence } from "../../data/sequences.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { WayScorer } from "../../run/depth/asked-rows.ts";
import { type Found, PathTree, type SearchOptions, type Times } from "./path-tree.ts";

export interface RowSearch extends SearchOptions {
  /** Rows that are searched at once. */
  readonly batch: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly pad: number;
  readonly done?: (rows: number) => void;
}

/**
 * The shortest right way of every row that was found, in their order. Random numbers go by the row's place in its file.
 */
export async function searchWays(model: Model, rows: readonly Sequence[], options: RowSearch): Promise<Found[]> {
  const { layers } = model.sizes;
  const scorer = new WayScorer(model, options.pad);
  const found: Found[] = [];
  const waiting = rows.keys();
  const treeOf = (row: number) =>
    new PathTree(layers, options, keyedUnits(options.seed, `ways of ${rows[row]!.place}`));
  const fill = (running: Map<number, PathTree>): void => {
    while (running.size < options.batch) {
      const { value: row, done } = waiting.next();
      if (done) return;
      running.set(row, treeOf(row));
    }
  };
  const running = new Map<number, PathTree>();
  try {
    for (fill(running); running.size > 0; fill(running)) {
      options.signal.throwIfAborted();
      const asked: { readonly row: number; readonly tree: PathTree; readonly times: Times }[] = [];
      for (const [row, tree] of running) {
        const times = tree.next();
        if (times) asked.push({ row, tree, times });
        else {
          running.delete(row);
          found[row] = tree.found;
          options.done?.(1);
        }
      }
      if (asked.length === 0) continue;
      // Rows that are missing are filled up with the first, so that all batches have one number of rows.
      const all = Array.from({ length: options.batch }, (_, i) => asked[i] ?? asked[0]!);
      const answered = await scorer.score(
        all.map(({ row }) => rows[row]!),
        all.map(({ times }) => times),
      );
      for (const [i, { tree }] of asked.entries()) tree.hear(answered[i]!.isRight);
    }
  } finally {
    await scorer.free();
  }
  return found;
}
