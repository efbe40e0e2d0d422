/** Held-out rows of a technique that makes batches of items of its own, such as pairs. */
import { type GroupReference, groupsOf } from "../data/groups.ts";
import { heldOutGroups } from "../run/training/held-out.ts";
import type { HeldOutBatches } from "../run/training/held-out-objective.ts";
import type { Opened, RunContext } from "../run/training/technique.ts";

/** The groups of --data without what is held out of them, and the held-out ones, which are read after the others. */
export function dividedGroups(
  { options }: Pick<RunContext, "options">,
  { split }: Pick<Opened, "split">,
): { readonly trained: readonly GroupReference[]; readonly held: readonly GroupReference[] } {
  const all = groupsOf(options.data, "--data", options.columns);
  const trained = split?.rest(all) ?? all;
  return { trained, held: heldOutGroups(options, split) };
}

/** Items in the order of their file, `size` a batch; `number` counts them over all groups. */
export function heldOutBatches<I, B>(
  groups: readonly { readonly name: string; readonly items: readonly I[] }[],
  size: number,
  batchOf: (items: readonly I[], number: number) => B,
): HeldOutBatches<B>[] {
  let number = 0;
  return groups.map(({ name, items }) => {
    const batches: B[] = [];
    for (let from = 0; from < items.length; from += size) {
      const own = items.slice(from, from + size);
      batches.push(batchOf(own, number));
      number += own.length;
    }
    return { name, rows: items.length, batches };
  });
}
