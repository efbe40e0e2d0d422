/**
 * Weight matching: before models are merged, the hidden units and heads of each are put in the order in which they go
 * best with those of the first. A network computes the same in any order of them.
 *
 * Ainsworth et al., ICLR 2023, https://arxiv.org/abs/2209.04836, algorithm 1: the order of one space after the other
 * that makes the inner product of the two models' weights largest, found by linear assignment, until none changes.
 * Spaces are visited in the order of the model, not at random.
 *
 * Heads move whole, so that rotary positions and norms of queries and keys stay valid. Where several query heads read
 * one head of keys and values, such groups move, and query heads within them: the best order in each pair of groups
 * is part of what the pair gains, which finds the best of all orders that are allowed.
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { NamedModel } from "../../model/names.ts";
import { type Anatomy, groupOf } from "../../model/structure/anatomy.ts";
import { gathered } from "../../model/structure/gather.ts";
import { pickedBy } from "../../model/structure/picked.ts";
import { assign } from "../../tensor/linear-algebra/assignment.ts";
import { identity, type Permutations } from "./permutations.ts";
import { addUnitProducts, unitsIn } from "./unit-products.ts";

/** Spaces that take one order together: a space alone, or heads with those of keys and values that they read. */
export interface Family {
  readonly space: string;
  /** Units of `space` that belong to each unit of `within`. */
  readonly within?: { readonly space: string; readonly group: number };
}

/** An order counts as better from this share of the gain on: less is rounding. */
const NOISE = 1e-6;

/** Sweeps over all spaces; published runs end after some ten. */
const SWEEPS = 100;

/** Families of the spaces that are wanted, in the order of the model. */
export function familiesOf(anatomy: Anatomy, spaces: ReadonlySet<string>): Family[] {
  return [...spaces].flatMap((space): Family[] => {
    if (space.startsWith("kv@")) return []; // with its heads
    const group = space.startsWith("heads@") ? groupOf(anatomy, space) : undefined;
    const within = space.replace(/^heads/, "kv");
    return [group !== undefined && spaces.has(within) ? { space, within: { space: within, group } } : { space }];
  });
}

/** Looks for the order of one model's parts. */
class Matching {
  readonly #gpu: Gpu;
  readonly #first: NamedModel;
  readonly #other: NamedModel;
  readonly #anatomy: Anatomy;
  readonly #found: Map<string, Int32Array>;

  constructor(gpu: Gpu, models: readonly [NamedModel, NamedModel], anatomy: Anatomy, found: Map<string, Int32Array>) {
    this.#gpu = gpu;
    [this.#first, this.#other] = models;
    this.#anatomy = anatomy;
    this.#found = found;
  }

  /** What every unit of the first model gains with every unit of the other, as the other spaces stand now. */
  async #gains(space: string): Promise<Float64Array> {
    const { units } = this.#anatomy.spaces.get(space)!;
    const sums = new Float64Array(units * units);
    const others: Permutations = new Map([...this.#found].filter(([id]) => id !== space));
    for (const [name, axes] of this.#anatomy.axes) {
      const mine = unitsIn(this.#first.tensors.get(name)!, axes, space);
      if (mine.length === 0) continue;
      const entry = this.#other.tensors.get(name)!;
      const theirs = gathered(entry, entry.shape, () => pickedBy(axes, others), this.#other.ref);
      for (const [i, stretch] of unitsIn(theirs, axes, space).entries())
        await addUnitProducts(this.#gpu, sums, mine[i]!, stretch);
      if (!sums.every(Number.isFinite))
        throw new UserError(
          `--align: ${name} of ${this.#first.ref} and of ${this.#other.ref} have no finite inner product`,
          "values of one are NaN, infinite or too large; inspect MODEL --check names them",
          1,
        );
    }
    return sums;
  }

  /** Puts a family in its best order; false if it is in it. */
  async improve({ space, within }: Family): Promise<boolean> {
    const gains = await this.#gains(space);
    const { units } = this.#anatomy.spaces.get(space)!;
    if (!within) return this.#take(space, gains, assign(gains, units));
    const outer = await this.#gains(within.space);
    const { order, groups } = assignGroups(gains, outer, within.group);
    const before = this.#total(space, gains) + this.#total(within.space, outer);
    const after = total(gains, order) + total(outer, groups);
    if (!isBetter(after, before, gains)) return false;
    this.#found.set(space, order).set(within.space, groups);
    return true;
  }

  #total(space: string, gains: Float64Array): number {
    return total(gains, this.#found.get(space) ?? identity(Math.sqrt(gains.length)));
  }

  #take(space: string, gains: Float64Array, order: Int32Array): boolean {
    if (!isBetter(total(gains, order), this.#total(space, gains), gains)) return false;
    this.#found.set(space, order);
    return true;
  }
}

const total = (gains: Float64Array, order: Int32Array): number =>
  order.reduce((sum, unit, place) => sum + gains[place * order.length + unit]!, 0);

function isBetter(after: number, before: number, gains: Float64Array): boolean {
  const n = Math.sqrt(gains.length);
  const size = gains.reduce((sum, gain) => sum + Math.abs(gain), 0) / Math.max(n, 1);
  return after - before > NOISE * size;
}

/** The best order of groups and of units in them. `gains` is of units, `outer` of what each group has once. */
export function assignGroups(gains: Float64Array, outer: Float64Array, group: number) {
  const count = Math.sqrt(outer.length);
  const units = count * group;
  const both = Float64Array.from(outer);
  const inner = Array.from({ length: count * count }, (_, pair) => {
    const [a, b] = [Math.floor(pair / count), pair % count];
    const own = Float64Array.from({ length: group * group }, (_, k) => {
      const [i, j] = [a * group + Math.floor(k / group), b * group + (k % group)];
      return gains[i * units + j]!;
    });
    const order = assign(own, group);
    both[pair]! += total(own, order);
    return order;
  });
  const groups = assign(both, count);
  const order = new Int32Array(units);
  for (let place = 0; place < units; place++) {
    const [a, i] = [Math.floor(place / group), place % group];
    order[place] = groups[a]! * group + inner[a * count + groups[a]!]![i]!;
  }
  return { order, groups };
}

/** Whether two families have a tensor in common, so that the order of one changes what another gains. */
function areCoupled(families: readonly Family[], { axes }: Anatomy): boolean {
  const owner = new Map(families.flatMap(({ space, within }) => [space, within?.space].map((id) => [id, space])));
  return [...axes.values()].some((own) => {
    const here = own.flat().flatMap(({ space }) => owner.get(space) ?? []);
    return new Set(here).size > 1;
  });
}

/**
 * Fills `found` with the orders of `other`'s parts that go best with those of `first`; both have the tensors of
 * `anatomy`. Reads both models, some times over where spaces depend on each other. Host memory: n^2 values of 8 bytes
 * for the largest space of n units.
 */
export async function matchWeights(
  gpu: Gpu,
  models: readonly [first: NamedModel, other: NamedModel],
  anatomy: Anatomy,
  families: readonly Family[],
  found: Map<string, Int32Array>,
): Promise<void> {
  const matching = new Matching(gpu, models, anatomy, found);
  const sweeps = areCoupled(families, anatomy) ? SWEEPS : 1;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let changed = false;
    for (const family of families) if (await matching.improve(family)) changed = true;
    if (!changed) return;
  }
}
