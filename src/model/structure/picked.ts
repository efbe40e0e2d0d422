/** Which rows and columns of a tensor stand where, by the units of its spaces. */
import type { Axis } from "./anatomy.ts";
import { type Picked, ZERO } from "./gather.ts";

/** Units by space, in the order in which they are to stand; spaces that are left out stay as they are. */
export type Units = ReadonlyMap<string, Int32Array>;

/** Places of an axis, with zeros for `silent` units; undefined where all stay as they are. */
export function placesOf(axis: Axis, chosen: Units, silent: Units = new Map()): Int32Array | undefined {
  if (!axis.some(({ space }) => space !== undefined && (chosen.has(space) || silent.has(space)))) return undefined;
  const places: number[] = [];
  let first = 0;
  for (const { space, units, size } of axis) {
    const own = space === undefined ? undefined : chosen.get(space);
    const none = new Set(space === undefined ? [] : silent.get(space));
    for (let place = 0; place < (own?.length ?? units); place++) {
      const unit = own ? own[place]! : place;
      for (let d = 0; d < size; d++) places.push(none.has(unit) ? ZERO : first + unit * size + d);
    }
    first += units * size;
  }
  return Int32Array.from(places);
}

/** Rows and columns of a tensor; axes that are left out are as they are. */
export const pickedBy = ([rows = [], columns = []]: readonly Axis[], chosen: Units): Picked => ({
  rows: placesOf(rows, chosen),
  columns: placesOf(columns, chosen),
});
