/** Which rows and columns of a tensor stand where, by the units of its spaces. */
import type { Axis } from "./anatomy.ts";
import type { Picked } from "./gather.ts";

/** Units by space, in the order in which they are to stand; spaces that are left out stay as they are. */
export type Units = ReadonlyMap<string, Int32Array>;

/** Places of an axis; undefined where all stay as they are. */
export function placesOf(axis: Axis, chosen: Units): Int32Array | undefined {
  if (!axis.some(({ space }) => space !== undefined && chosen.has(space))) return undefined;
  const places: number[] = [];
  let first = 0;
  for (const { space, units, size } of axis) {
    const own = space === undefined ? undefined : chosen.get(space);
    for (let place = 0; place < (own?.length ?? units); place++)
      for (let d = 0; d < size; d++) places.push(first + (own ? own[place]! : place) * size + d);
    first += units * size;
  }
  return Int32Array.from(places);
}

/** Rows and columns of a tensor; axes that are left out are as they are. */
export const pickedBy = ([rows = [], columns = []]: readonly Axis[], chosen: Units): Picked => ({
  rows: placesOf(rows, chosen),
  columns: placesOf(columns, chosen),
});
