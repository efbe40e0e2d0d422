/** Searches of plain functions: what a search finds, without a merge. */

import { bindDefaults } from "../../src/method/bind.ts";
import type { Point, Scored, SearchMethod, SearchSetup } from "../../src/run/searching/contract.ts";
import type { GeneValues, RealGene, Space } from "../../src/run/searching/space.ts";

/** `count` numbers in [0, 1] that begin in the middle. */
export const unitSpace = (count: number): Space =>
  Array.from({ length: count }, (_, i): RealGene => ({ kind: "real", name: `x${i}`, low: 0, high: 1, default: 0.5 }));

export interface Searched {
  readonly trials: readonly Scored[];
  /** What the search would try after the budget. */
  readonly last: Point | undefined;
  /** What it said after each batch. */
  readonly notes: readonly Record<string, unknown>[];
  readonly archive: readonly { readonly name: string; readonly point: Point }[];
}

interface Asked extends Partial<Omit<SearchSetup, "values">> {
  readonly space: Space;
  readonly budget: number;
  readonly values?: Readonly<Record<string, unknown>>;
}

/** Runs a search with its defaults and `values` over a function to be maximised. */
export async function searchOf(
  method: SearchMethod,
  scores: (values: GeneValues, point: Point) => readonly number[],
  { values: given = {}, ...setup }: Asked,
): Promise<Searched> {
  const objectives = setup.objectives ?? ["a"];
  const { values } = bindDefaults(method, given);
  const searcher = await method.make({ seed: 1, models: 2, ...setup, objectives, values });
  const trials: Scored[] = [];
  const notes: Record<string, unknown>[] = [];
  while (trials.length < setup.budget) {
    const asked = (await searcher.ask()).slice(0, setup.budget - trials.length);
    if (asked.length === 0) break;
    const batch = asked.map((point) => ({ point, scores: scores(point.values, point) }));
    trials.push(...batch);
    await searcher.tell(batch);
    notes.push(searcher.notes?.() ?? {});
  }
  const last = searcher.last?.();
  const archive = searcher.archive?.() ?? [];
  searcher.free?.();
  return { trials, last, notes, archive };
}

/** The best first score of the trials. */
export const bestOf = ({ trials }: Searched): number => Math.max(...trials.map(({ scores }) => scores[0]!));
