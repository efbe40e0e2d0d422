/** Searches ways for many rows at once: every row has a tree, and a batch tries the next way of each. */
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { MOST_TURNS } from "../../run/depth/routers.ts";
import { givenTurns } from "../../run/depth/row-depth.ts";
import { Scorer, type Scores } from "../../run/scoring/scorer.ts";
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
 * Whether greedy decoding gives a row's answer: every token of it is the likeliest one behind those before it, its end
 * too where the row has one.
 */
function isRight({ targets, argmax }: Scores, { length }: TokenBatch, row: number): boolean {
  for (let i = row * length; i < (row + 1) * length; i++)
    if (targets[i]! >= 0 && targets[i] !== argmax[i]) return false;
  return true;
}

/**
 * The shortest right way of every row that was found, in their order. Random numbers go by the row's place in its file.
 */
export async function searchWays(model: Model, rows: readonly Sequence[], options: RowSearch): Promise<Found[]> {
  const { layers } = model.sizes;
  let tried: readonly Times[] = [];
  const scorer = new Scorer(model, undefined, { depth: givenTurns(layers, MOST_TURNS, (_, row) => tried[row]!) });
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
      tried = all.map(({ times }) => times);
      const batch = collate(
        all.map(({ row }) => [rows[row]!]),
        { pad: options.pad },
      );
      const scores = await scorer.score(batch);
      for (const [i, { tree }] of asked.entries()) tree.hear(isRight(scores, batch, i));
    }
  } finally {
    await scorer.free();
  }
  return found;
}
