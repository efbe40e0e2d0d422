/** Where the units of a model are read: the linear layers behind heads and behind hidden units. */
import type { Anatomy } from "./anatomy.ts";
import type { WidthSpace } from "./slice.ts";

/** A linear layer that reads the units of a space, `size` neighbouring inputs each. */
export interface Reading {
  readonly module: string;
  readonly space: WidthSpace;
  readonly size: number;
}

/** The heads that a space of heads of keys and values stands for, or the space itself. */
const readAs = ({ spaces }: Anatomy, id: string): string => {
  const queries = id.replace(/^kv@/, "heads@");
  return id.startsWith("kv@") && spaces.has(queries) ? queries : id;
};

/** By module. Throws RangeError for an axis that has more than one space, which no layer reads. */
export function readingsOf(anatomy: Anatomy, spaces: readonly WidthSpace[]): ReadonlyMap<string, Reading> {
  const wanted = new Map(spaces.map((space) => [readAs(anatomy, space.id), space]));
  const found = new Map<string, Reading>();
  for (const [name, side] of anatomy.inputs) {
    const [run, ...more] = anatomy.axes.get(name)?.[side] ?? [];
    const space = run?.space === undefined ? undefined : wanted.get(run.space);
    if (!run || !space) continue;
    if (more.length > 0) throw new RangeError(`${name} reads several spaces`);
    const size = (run.units * run.size) / space.units;
    const module = name.replace(/\.weight$/, "");
    found.set(module, { module, space, size });
  }
  return found;
}
