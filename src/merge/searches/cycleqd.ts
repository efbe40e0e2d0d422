/**
 * CycleQD: every task keeps an archive of models, its own score the quality and the scores of the other tasks the grid.
 * Tasks take turns: a child is the mean of two elites of that task's archive, with the singular directions of its
 * expert's task vector lengthened at random.
 *
 * Kuroki et al., Agent Skill Acquisition via CycleQD, ICLR 2025, https://arxiv.org/abs/2410.14735. Cells hold recipes,
 * weights and mutations of `svd_scale`, from which the same model is made again. What is chosen here: the grid spans
 * the scores of the experts, and 15 percent of that above; task q mutates along model q, from the first again where
 * there are more tasks than models; parameters that are no weight come from either parent, one in ten of them anew.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { defineSearch, type Point, type Scored } from "../../run/searching/contract.ts";
import {
  defaults,
  type Gene,
  type GeneValue,
  type GeneValues,
  type Space,
  valueAt,
} from "../../run/searching/space.ts";
import { Archive, type Elite, type Span } from "../search/elites.ts";

/** How far the grid goes above the best expert, in parts of the experts' span. */
const ABOVE = 0.15;

/** Share of parameters, other than weights, that a child draws anew. */
const REDRAWN = 0.1;

/** A model as the mutations that it carries, by `MODEL:SEED`, and its genes. */
interface Genome {
  readonly values: GeneValues;
  readonly mutations: ReadonlyMap<string, number>;
}

/** The model whose weight a gene is, from 0; undefined for other genes. */
const modelOf = (gene: Gene): number | undefined => (gene.kind === "real" ? gene.weightOf : undefined);

const within = (gene: Gene, x: number): GeneValue =>
  gene.kind === "choice" ? gene.default : Math.min(Math.max(x, gene.low), gene.high);

function pointOf({ values, mutations }: Genome): Point {
  const list = [...mutations].filter(([, size]) => size !== 0).map(([key, size]) => `${key}:${size}`);
  return list.length > 0 ? { values, extra: { mutations: list.join(",") } } : { values };
}

/** Expert k: weight 1 for it and 0 for the others, or the nearest that the space has. */
const expert = (space: Space, k: number): Genome => ({
  values: defaults(space).map((value, i) => {
    const model = modelOf(space[i]!);
    return model === undefined ? value : within(space[i]!, model === k ? 1 : 0);
  }),
  mutations: new Map(),
});

/** sum_i shares[i] genomes[i]; what cannot be averaged is that of `choose`. */
function mean(
  space: Space,
  genomes: readonly Genome[],
  shares: readonly number[],
  choose: (gene: number) => GeneValue,
): Genome {
  const values = space.map((gene, i) =>
    modelOf(gene) === undefined
      ? choose(i)
      : within(
          gene,
          genomes.reduce((sum, { values }, k) => sum + shares[k]! * (values[i] as number), 0),
        ),
  );
  const mutations = new Map<string, number>();
  for (const [k, genome] of genomes.entries()) {
    for (const [key, size] of genome.mutations) mutations.set(key, (mutations.get(key) ?? 0) + shares[k]! * size);
  }
  return { values, mutations };
}

/** Shares that grow with the exponential of the scores and sum to 1. */
function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const parts = scores.map((score) => Math.exp(score - most));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}

/** Per score where the experts lie, and a little above. */
function spansOf(batch: readonly Scored[]): Span[] {
  return batch[0]!.scores.map((_, j) => {
    const finite = batch.map(({ scores }) => scores[j]!).filter(Number.isFinite);
    if (finite.length === 0) return { low: 0, high: 0 };
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    return { low, high: high + ABOVE * (high - low) };
  });
}

interface Settings {
  readonly space: Space;
  readonly models: number;
  readonly seed: number;
  readonly bins: number;
  readonly crossover: number;
  readonly rate: number;
}

class CycleQd {
  readonly #set: Settings;
  #archives: readonly Archive<Genome>[] = [];
  #asked: readonly Genome[] = [];
  #generation = 0;

  constructor(settings: Settings) {
    this.#set = settings;
  }

  ask(): Point[] {
    const ready = this.#archives.length > 0;
    this.#asked = ready
      ? [this.#child()]
      : Array.from({ length: this.#set.models }, (_, k) => expert(this.#set.space, k));
    return this.#asked.map(pointOf);
  }

  tell(batch: readonly Scored[]): void {
    if (this.#archives.length === 0) {
      const spans = spansOf(batch);
      this.#archives = spans.map((_, q) => new Archive<Genome>(q, spans, this.#set.bins));
    } else this.#generation++;
    for (const [i, { scores }] of batch.entries()) {
      if (!scores.every(Number.isFinite)) continue;
      const elite: Elite<Genome> = { value: this.#asked[i]!, scores };
      for (const archive of this.#archives) archive.insert(elite);
    }
  }

  /** The best elite of every archive, weighed by a softmax over their quality, as one model. */
  aggregate(): Point | undefined {
    const best = this.#archives.flatMap((archive, q) => {
      const elite = archive.best();
      return elite ? [{ genome: elite.value, quality: elite.scores[q]! }] : [];
    });
    if (best.length === 0) return undefined;
    const shares = softmax(best.map(({ quality }) => quality));
    const leader = shares.indexOf(Math.max(...shares));
    const genomes = best.map(({ genome }) => genome);
    return pointOf(mean(this.#set.space, genomes, shares, (gene) => genomes[leader]!.values[gene]!));
  }

  /** Every cell of every archive, as task/bins of the other tasks. */
  cells(tasks: readonly string[]): { name: string; point: Point }[] {
    return this.#archives.flatMap((archive, q) =>
      archive.cells.map(({ elite, bins }) => ({
        name: `${tasks[q]!}/${bins.length > 0 ? bins.join("-") : "all"}`,
        point: pointOf(elite.value),
      })),
    );
  }

  notes() {
    return {
      generation: this.#generation,
      coverage: this.#archives.map(({ filled }) => filled),
      quality: this.#archives.map((archive, q) => archive.best()?.scores[q]),
    };
  }

  /** The child of a generation: a turn of the task, two parents, a mean, a mutation. */
  #child(): Genome {
    const { space, models, seed, crossover, rate } = this.#set;
    const random = new Random(seed, "cycleqd", this.#generation);
    const task = this.#generation % this.#archives.length;
    const archive = this.#archives[task]!;
    const pair =
      archive.filled > 0 ? archive.parents(random).map(({ value }) => value) : [expert(space, 0), expert(space, 0)];
    const [a, b] = pair.map(() => 1 + crossover * random.normal());
    const shares = [a! / (a! + b!), b! / (a! + b!)];
    const child = mean(space, pair, shares, (gene) =>
      random.uniform() < REDRAWN ? valueAt(space[gene]!, random.uniform()) : random.pick(pair).values[gene]!,
    );
    const mutations = new Map(child.mutations);
    if (rate > 0) mutations.set(`${(task % models) + 1}:${random.word()}`, rate);
    return { values: child.values, mutations };
  }
}

export const method = defineSearch({
  name: "cycleqd",
  title: "CycleQD",
  about: "archives of models per task, crossed over and mutated along singular directions, in turns",
  cite: "arXiv:2410.14735",
  objectives: "many",
  merge: "svd_scale",
  options: {
    bins: { type: "number.integer >= 1", default: 15, help: "cells along every other task's score" },
    crossover: { type: "0 <= number < 0.5", default: 0.01, help: "deviation of the two parents' weights about 1" },
    rate: { type: "number >= 0", default: 0.1, help: "most that a mutation lengthens a direction, in parts of it" },
  },

  make({ space, models, seed, objectives, values }) {
    const missing = Array.from({ length: models }, (_, k) => k).find((k) => !space.some((gene) => modelOf(gene) === k));
    if (missing !== undefined)
      throw new UserError(
        `cycleqd mixes models by their weights, and that of model ${missing + 1} does not vary`,
        "leave --search-space out, or name weight=0:1 in it",
      );
    const search = new CycleQd({ space, models, seed, ...values });
    return {
      ask: () => search.ask(),
      tell: (batch) => search.tell(batch),
      last: () => search.aggregate(),
      archive: () => search.cells(objectives),
      notes: () => search.notes(),
    };
  },
});
