/** Permutations of a model's parts, and the model seen with its parts in that order. */
import type { NamedModel } from "../../model/names.ts";
import type { Anatomy, Axis } from "./anatomy.ts";
import { gathered, type Picked } from "./gather.ts";

/** For each space the unit that stands at each place; spaces that are left out keep their order. */
export type Permutations = ReadonlyMap<string, Int32Array>;

export const identity = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);

/** Places of an axis; undefined where all keep theirs. */
function placesOf(axis: Axis, permutations: Permutations): Int32Array | undefined {
  if (!axis.some(({ space }) => space !== undefined && permutations.has(space))) return undefined;
  const places = new Int32Array(axis.reduce((sum, { units, size }) => sum + units * size, 0));
  let first = 0;
  for (const { space, units, size } of axis) {
    const order = space === undefined ? undefined : permutations.get(space);
    for (let place = 0; place < units; place++)
      for (let d = 0; d < size; d++)
        places[first + place * size + d] = first + (order ? order[place]! : place) * size + d;
    first += units * size;
  }
  return places;
}

/** Rows and columns of a tensor under permutations; axes without end are as they are. */
export function pickedBy([rows = [], columns = []]: readonly Axis[], permutations: Permutations): Picked {
  return { rows: placesOf(rows, permutations), columns: placesOf(columns, permutations) };
}

/** The model with its parts in another order. `known` gives it when a value is read first. */
export function permuted(model: NamedModel, { axes }: Anatomy, known: () => Permutations, spaces: ReadonlySet<string>) {
  const tensors = new Map(model.tensors);
  for (const [name, entry] of model.tensors) {
    const own = axes.get(name);
    if (!own?.flat().some(({ space }) => space !== undefined && spaces.has(space))) continue;
    tensors.set(
      name,
      gathered(entry, entry.shape, () => pickedBy(own, known()), model.ref),
    );
  }
  return { ...model, tensors };
}
