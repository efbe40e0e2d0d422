/** Permutations of a model's parts, and the model seen with its parts in that order. */
import type { NamedModel } from "../../model/names.ts";
import type { Anatomy } from "../../model/structure/anatomy.ts";
import { gathered } from "../../model/structure/gather.ts";
import { pickedBy, type Units } from "../../model/structure/picked.ts";

/** For each space the unit that stands at each place; spaces that are left out keep their order. */
export type Permutations = Units;

export const identity = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);

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
