/**
 * NSGA-II over recipes: a population of which none is beaten in every objective survives; children take each gene from
 * one of two parents, and some have one gene drawn anew. No recipe is tried twice. With `--repair` a second stage holds
 * the best recipe and searches the genes that it names, such as `lambda`, alone.
 *
 * Ying et al., EAGAN, ECCV 2022, https://arxiv.org/abs/2111.15097, with the sort and the crowding distance of Deb et
 * al. 2002 where that code fills up at random. A first population holds the defaults, then recipes whose genes all
 * stand at one place of their range, then random ones.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { defineSearch, type Point, type Scored } from "../../run/searching/contract.ts";
import { crowding, fronts, hypervolume, survivors } from "../../run/searching/pareto.ts";
import { defaults, type GeneValues, pointAt, type Space, valueAt } from "../../run/searching/space.ts";

/** Draws for a child that was not tried before; a space that gives none in so many is spent. */
const ATTEMPTS = 200;

/** Objectives up to which the hypervolume is told; its cost grows fast with their number. */
const VOLUME_OBJECTIVES = 4;

interface Settings {
  readonly population: number;
  readonly mutation: number;
  readonly seed: number;
}

const losses = ({ scores }: Scored): number[] => scores.map((score) => -score);

/** A population that evolves over the genes of `free`; the others keep the values of `held`. */
class Population {
  readonly #space: Space;
  readonly #free: readonly number[];
  readonly #held: GeneValues;
  readonly #settings: Settings;
  readonly #stage: string;
  readonly #seen: Set<string>;
  #generation = 0;
  #rank: readonly number[] = [];
  members: readonly Scored[];

  constructor(
    given: { space: Space; free: readonly number[]; held: GeneValues; settings: Settings; stage: string },
    members: readonly Scored[] = [],
  ) {
    this.#space = given.space;
    this.#free = given.free;
    this.#held = given.held;
    this.#settings = given.settings;
    this.#stage = given.stage;
    this.members = members;
    this.#seen = new Set(members.map(({ point }) => JSON.stringify(point.values)));
  }

  get generation(): number {
    return this.#generation;
  }

  /** Points that were not tried before: the first generation when there is none, else children. */
  ask(): Point[] {
    const { population, seed } = this.#settings;
    const seen = new Set(this.#seen);
    const points: Point[] = [];
    for (let at = 0; at < population; at++) {
      const random = new Random(seed, "nsga", this.#stage, this.#generation, at);
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const values = this.#generation === 0 ? this.#first(at, attempt, random) : this.#child(random);
        const key = JSON.stringify(values);
        if (seen.has(key)) continue;
        seen.add(key);
        points.push({ values });
        break;
      }
    }
    return points;
  }

  tell(batch: readonly Scored[]): void {
    for (const { point } of batch) this.#seen.add(JSON.stringify(point.values));
    const all = [...this.members, ...batch];
    this.members = survivors(all.map(losses), this.#settings.population).map((at) => all[at]!);
    this.#rank = ranks(this.members.map(losses));
    this.#generation++;
  }

  /** The defaults, then a quarter of recipes at one place of every range, then random ones. */
  #first(at: number, attempt: number, random: Random): GeneValues {
    const level = Math.max(1, Math.floor(this.#settings.population / 4));
    if (attempt === 0 && at === 0) return this.#held;
    const one = attempt === 0 && at <= level ? (at - 0.5) / level : undefined;
    const places = pointAt(
      this.#space,
      this.#space.map(() => one ?? random.uniform()),
    );
    return this.#held.map((value, gene) => (this.#free.includes(gene) ? places[gene]! : value));
  }

  #child(random: Random): GeneValues {
    const [a, b] = [this.#parent(random), this.#parent(random)];
    const mixed = a.map((value, gene) => (random.uniform() < 0.5 ? value : b[gene]!));
    const values = this.#held.map((value, gene) => (this.#free.includes(gene) ? mixed[gene]! : value));
    if (random.uniform() >= this.#settings.mutation && JSON.stringify(values) !== JSON.stringify(a)) return values;
    const gene = random.pick(this.#free);
    return values.with(gene, valueAt(this.#space[gene]!, random.uniform()));
  }

  /** The better of two members: of the earlier front, then the less crowded. */
  #parent(random: Random): GeneValues {
    const [i, j] = [random.below(this.members.length), random.below(this.members.length)];
    return this.members[this.#rank[i]! <= this.#rank[j]! ? i : j]!.point.values;
  }
}

/** The place of each point in the order of a tournament: by front, then the least crowded first. */
function ranks(points: readonly (readonly number[])[]): number[] {
  const order = fronts(points).flatMap((front) => {
    const distance = crowding(front.map((i) => points[i]!));
    return [...front.keys()]
      .sort((a, b) => (distance[a]! > distance[b]! ? -1 : distance[a]! < distance[b]! ? 1 : a - b))
      .map((at) => front[at]!);
  });
  const result: number[] = [];
  for (const [place, at] of order.entries()) result[at] = place;
  return result;
}

/** The member whose losses, each in parts of the range of the first front, have the least sum. */
function knee(members: readonly Scored[]): Scored {
  const points = members.map(losses);
  const front = fronts(points)[0]!;
  const part = (i: number, axis: number): number => {
    const column = front.map((at) => points[at]![axis]!);
    const [low, high] = [Math.min(...column), Math.max(...column)];
    return high > low && high < Number.POSITIVE_INFINITY ? (points[i]![axis]! - low) / (high - low) : 0;
  };
  const cost = (i: number): number => points[i]!.reduce((sum, _, axis) => sum + part(i, axis), 0);
  return members[front.reduce((best, i) => (cost(i) < cost(best) ? i : best))]!;
}

/** Genes of the second stage by name. Throws UserError for a name that the space lacks, or if none is left. */
function repairGenes(space: Space, names: readonly string[]): Set<number> {
  const genes = names.map((name) => {
    const at = space.findIndex((gene) => gene.name === name);
    if (at < 0)
      throw new UserError(
        `--repair: ${name} does not vary`,
        `what varies is ${space.map((gene) => gene.name).join(", ")}`,
      );
    return at;
  });
  if (new Set(genes).size === space.length)
    throw new UserError("--repair names all that varies", "leave some of it to the first stage");
  return new Set(genes);
}

export const method = defineSearch({
  name: "nsga",
  title: "NSGA-II",
  about: "evolves a Pareto front of recipes over several objectives",
  cite: "arXiv:2111.15097",
  objectives: "many",
  options: {
    population: { type: "number.integer >= 4", default: 20, help: "recipes that survive a generation" },
    mutation: { type: "0 <= number <= 1", default: 0.4, help: "share of children with a gene drawn anew" },
    repair: {
      type: "string[]",
      default: [],
      help: "parameters that a second stage searches alone, around the best recipe of the first",
    },
    repair_share: { type: "0 < number < 1", default: 0.25, help: "share of the budget for that stage" },
  },

  make({ space, seed, budget, values: { population, mutation, repair, repair_share } }) {
    const settings = { population, mutation, seed };
    const later = repairGenes(space, repair);
    const free = [...space.keys()].filter((gene) => !later.has(gene));
    let stage = new Population({ space, free, held: defaults(space), settings, stage: "search" });
    const switchAt = later.size > 0 ? budget * (1 - repair_share) : Number.POSITIVE_INFINITY;
    let repairing = false;
    let told = 0;
    let reference: number[] | undefined;
    return {
      ask() {
        const points = told < switchAt || repairing ? stage.ask() : [];
        if (points.length > 0 || repairing || later.size === 0) return points;
        repairing = true;
        const held = knee(stage.members).point.values;
        stage = new Population({ space, free: [...later], held, settings, stage: "repair" }, stage.members);
        return stage.ask();
      },
      tell(batch) {
        stage.tell(batch);
        told += batch.length;
        reference ??= worstOf(batch.map(losses));
      },
      notes() {
        const points = stage.members.map(losses);
        const volume = reference && reference.length <= VOLUME_OBJECTIVES ? hypervolume(points, reference) : undefined;
        return {
          stage: repairing ? "repair" : "search",
          generation: stage.generation,
          front: fronts(points)[0]?.length ?? 0,
          ...(volume !== undefined && { hypervolume: volume }),
        };
      },
    };
  },
});

/** Per objective the largest finite loss; 0 where none is. */
const worstOf = (points: readonly (readonly number[])[]): number[] =>
  points[0]!.map((_, axis) => {
    const finite = points.map((point) => point[axis]!).filter(Number.isFinite);
    return finite.length > 0 ? Math.max(...finite) : 0;
  });
