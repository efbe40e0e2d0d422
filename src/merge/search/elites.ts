/**
 * Archives of quality and diversity: the best of each cell of a grid over what models are like.
 *
 * Mouret and Clune 2015, https://arxiv.org/abs/1504.04909; one archive per task, whose grid is the scores of all other
 * tasks, and elite sampling: Kuroki et al., CycleQD, ICLR 2025, https://arxiv.org/abs/2410.14735.
 */
import type { Random } from "../../data/random.ts";

/** A model by its scores, all finite, higher is better. */
export interface Elite<T> {
  readonly value: T;
  readonly scores: readonly number[];
}

/** Where the bins of a score begin and end; scores outside count to the first and the last. */
export interface Span {
  readonly low: number;
  readonly high: number;
}

/** 0.5 for the least of `values`, 1.3 for the largest, 1 for all where they are equal. */
function graded(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return values.map((x) => (high > low ? 0.5 + (0.8 * (x - low)) / (high - low) : 1));
}

export class Archive<T> {
  readonly #quality: number;
  readonly #spans: readonly Span[];
  readonly #bins: number;
  readonly #cells = new Map<string, { readonly elite: Elite<T>; readonly bins: readonly number[] }>();

  /** `quality`: the score that counts; the others, binned over `spans`, are the axes. */
  constructor(quality: number, spans: readonly Span[], bins: number) {
    this.#quality = quality;
    this.#spans = spans;
    this.#bins = bins;
  }

  /** Cells that hold a model. */
  get filled(): number {
    return this.#cells.size;
  }

  /** Elites in the order in which their cells were first filled. */
  get elites(): readonly Elite<T>[] {
    return [...this.#cells.values()].map(({ elite }) => elite);
  }

  /** Cells in the order in which they were first filled, each by its bins. */
  get cells(): readonly { readonly elite: Elite<T>; readonly bins: readonly number[] }[] {
    return [...this.#cells.values()];
  }

  /** The quality of a cell's elite; undefined for a cell without one. */
  qualityAt(bins: readonly number[]): number | undefined {
    return this.#cells.get(bins.join(" "))?.elite.scores[this.#quality];
  }

  /** The bins of all scores but the quality. */
  binsOf(scores: readonly number[]): number[] {
    return scores.flatMap((score, j) => {
      if (j === this.#quality) return [];
      const { low, high } = this.#spans[j]!;
      const place = high > low ? Math.floor(((score - low) / (high - low)) * this.#bins) : 0;
      return [Math.min(Math.max(place, 0), this.#bins - 1)];
    });
  }

  /** Takes a model into its cell if that is empty or holds a worse one; says whether it did. */
  insert(elite: Elite<T>): boolean {
    const bins = this.binsOf(elite.scores);
    const key = bins.join(" ");
    const held = this.#cells.get(key)?.elite;
    if (held && !(elite.scores[this.#quality]! > held.scores[this.#quality]!)) return false;
    this.#cells.set(key, { elite, bins });
    return true;
  }

  /** The elite of the highest quality; undefined for an empty archive. */
  best(): Elite<T> | undefined {
    const quality = (elite: Elite<T>) => elite.scores[this.#quality]!;
    return this.elites.reduce<Elite<T> | undefined>(
      (best, elite) => (best && quality(best) >= quality(elite) ? best : elite),
      undefined,
    );
  }

  /**
   * Two elites, different ones if there are two: an elite is drawn in proportion to its graded quality times its graded
   * place on every axis.
   */
  parents(random: Random): [Elite<T>, Elite<T>] {
    const cells = [...this.#cells.values()];
    if (cells.length === 0) throw new RangeError("parents from an empty archive");
    const weights = graded(cells.map(({ elite }) => elite.scores[this.#quality]!));
    for (const axis of cells[0]!.bins.keys()) {
      for (const [i, grade] of graded(cells.map(({ bins }) => bins[axis]!)).entries()) weights[i]! *= grade;
    }
    const first = random.weighted(weights);
    const others = weights.map((weight, i) => (i === first && cells.length > 1 ? 0 : weight));
    return [cells[first]!.elite, cells[random.weighted(others)]!.elite];
  }
}
