/** Runs that differ by their seed alone, and what the others differ by. */

import { differences, type Run, spellOption } from "./read.ts";
import { isObject } from "./run-builder.ts";

/** Options that say where a run leaves its results, or how it is told, and decide nothing. */
const PLACES = new Set(["seed", "out", "log", "state", "json", "quiet", "verbose", "overwrite", "device", "resume"]);

export interface SeedGroup {
  readonly name: string;
  /** Positions of its runs. */
  readonly runs: readonly number[];
}

function keyOf({ start }: Run): string {
  const options = isObject(start.options) ? start.options : {};
  const decisive = Object.entries(options).filter(([name]) => !PLACES.has(name));
  return JSON.stringify([start.script, start.method, decisive.sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** Groups in the order of their first runs. A run without a log of its own is alone. */
export function seedGroups(runs: readonly Run[]): SeedGroup[] {
  const byKey = Map.groupBy(runs.keys(), (i) => (isObject(runs[i]!.start.options) ? keyOf(runs[i]!) : `run ${i}`));
  const differing = differences(runs).filter(({ option }) => !PLACES.has(option));
  return [...byKey.values()].map((members) => {
    const [first] = members;
    if (members.length === 1) return { name: runs[first!]!.name, runs: members };
    const parts = differing.flatMap(({ option, values }) => {
      const text = spellOption(values[first!]);
      return text === undefined ? [] : [`${option} ${text}`];
    });
    return { name: parts.length > 0 ? parts.join(", ") : runs[first!]!.name, runs: members };
  });
}
