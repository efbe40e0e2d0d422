/**
 * Widths of a classifier of several tasks by what is preferred and what may be spent:
 *
 *   decoder of task t   the largest width of the grid that is no more than s p_t / max p, the least where there is none
 *   trunk               the widest that fits the budget beside them
 *
 * with s = 1, or the largest of the grid with which the narrowest trunk fits. Settings a step of the grid away are
 * tried on rows, too, and the one of the best sum over tasks of p_t times its accuracy is taken. Aich et al., ICCV
 * 2023, https://arxiv.org/abs/2308.11744
 */
import type { TaskWidths } from "../model/structure/task-widths.ts";

export interface Search {
  /** Preference of each task; they need not sum to 1. */
  readonly preferred: readonly number[];
  /** Widths that there are, rising. */
  readonly grid: readonly number[];
  readonly budget: number;
  /** Operations of a row with these widths. */
  readonly cost: (widths: TaskWidths) => number;
}

/** The largest of the grid that is no more than a share; its least where there is none. */
const floorOf = (grid: readonly number[], share: number): number =>
  grid.filter((width) => width <= share + 1e-9).at(-1) ?? grid[0] ?? 1;

/** Where the search begins; undefined where not even the narrowest setting fits. */
export function preferredWidths({ preferred, grid, budget, cost }: Search): TaskWidths | undefined {
  const most = Math.max(...preferred);
  for (const s of [...grid].reverse()) {
    const decoders = preferred.map((p) => floorOf(grid, (s * p) / most));
    const trunk = [...grid].reverse().find((width) => cost({ trunk: width, decoders }) <= budget);
    if (trunk !== undefined) return { trunk, decoders };
  }
  return undefined;
}

/** The setting and those a step of the grid away in one or two of its widths that fit, the setting itself first. */
export function neighbours(widths: TaskWidths, { grid, budget, cost }: Search): TaskWidths[] {
  const own = [widths.trunk, ...widths.decoders];
  const moved = (place: number, by: number): number | undefined => grid[grid.indexOf(own[place] ?? 1) + by];
  const found = new Map<string, TaskWidths>();
  const keep = (changes: ReadonlyMap<number, number | undefined>) => {
    if ([...changes.values()].includes(undefined)) return;
    const all = own.map((width, i) => changes.get(i) ?? width);
    const [trunk = 1, ...decoders] = all;
    const setting = { trunk, decoders };
    if (cost(setting) <= budget) found.set(all.join(), setting);
  };
  keep(new Map());
  for (const i of own.keys()) {
    keep(new Map([[i, moved(i, 1)]]));
    for (const k of own.keys())
      if (k !== i)
        keep(
          new Map([
            [i, moved(i, 1)],
            [k, moved(k, -1)],
          ]),
        );
  }
  return [...found.values()];
}
