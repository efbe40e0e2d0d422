/** Units of equal size that the parts of a corpus are cut into, and the trainings on them. */
import { permutation } from "../data/shuffle.ts";
import { UserError } from "../errors.ts";
import type { Mixture } from "./mixtures.ts";
import type { ShortRun } from "./short-runs.ts";
import { OrderedSource, type Rows } from "./source.ts";

export interface Unit {
  readonly part: number;
  /** Positions of its rows. */
  readonly rows: readonly number[];
}

/**
 * Cuts every group into units of about `size` rows, at least one a group; rows go to units at random, by seed, and none
 * is left out. Throws UserError where that makes more than `most`.
 */
export function unitsOf(rows: Rows, { size, seed, most }: { size: number; seed: number; most: number }): Unit[] {
  const units = rows.names.flatMap((name, part) => {
    const own = [...rows.group.keys()].filter((row) => rows.group[row] === part);
    const count = Math.max(1, Math.round(own.length / size));
    const order = Array.from(permutation(own.length, seed, 0, `units of ${name}`), (at) => own[at]!);
    return Array.from({ length: count }, (_, u): Unit => ({ part, rows: order.filter((_, at) => at % count === u) }));
  });
  if (units.length > most)
    throw new UserError(
      `units of ${size} rows are ${units.length} trainings, whose weights are all kept; at most ${most}`,
      `give --unit-rows ${Math.ceil(rows.items.length / most)} or more`,
    );
  return units;
}

/** Positions of the units of a mixture's parts. */
export const unitsIn = (units: readonly Unit[], mixture: Mixture): number[] =>
  [...units.keys()].filter((u) => mixture.includes(units[u]!.part));

/** A training on the rows of some units together, in passes, `steps` for each unit: as many passes as over one. */
export function runOn(
  rows: Rows,
  units: readonly Unit[],
  { on, steps, batchSize, seed }: { on: string; steps: number; batchSize: number; seed: number },
): ShortRun {
  const part = rows.part(units.flatMap((unit) => unit.rows));
  const source = new OrderedSource(part, { batchSize, seed });
  source.follow(async (epoch) => permutation(part.items.length, seed, epoch, "rows of units"));
  return { on, source, steps: steps * units.length };
}
