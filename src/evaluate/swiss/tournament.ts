/**
 * Models ranked over benchmarks by simulated Swiss tournaments with eliminations, in place of an average of scores. A
 * round is a benchmark: models with as many wins meet at random, the higher score wins, equal ones win half each. The
 * odd one of a group plays in the next lower group, and the last one left has a bye, which counts as a win. After the
 * round T models leave from the group of the fewest wins, at random, as its wins are equal; the last model stays.
 *
 *   E[S_m] = mean over tournaments of the wins of m as it leaves, or at the end
 *
 * The slope of E[S] over T tells how much a model is hurt where it must not fail anywhere: steep for a specialist, flat
 * for a generalist. LLM Swiss Round, 2025, after its abstract; who leaves among equals, byes and floats are a choice.
 */
import { Random } from "../../data/random.ts";

export interface TournamentOptions {
  readonly runs: number;
  readonly eliminate: number;
  readonly order: "given" | "random";
  readonly pairing: "swiss" | "random";
  readonly seed: number;
  readonly signal?: AbortSignal;
}

export interface Standing {
  /** E[S]: mean wins at exit. */
  readonly wins: number;
  /** Standard error of it over tournaments. */
  readonly error: number;
  /** Share of the tournaments in which the model is there at the end. */
  readonly survived: number;
}

/** Those that play on, in the order in which they are paired: two by two from the front. */
function paired(alive: readonly number[], wins: Float64Array, pairing: "swiss" | "random", random: Random): number[] {
  const shuffled = random.shuffled(alive);
  // Sorting is stable, so that equals stay shuffled; the odd one of a group meets the first of the next.
  return pairing === "random" ? shuffled : shuffled.sort((a, b) => wins[b]! - wins[a]!);
}

/** Plays one round on the scores of a benchmark. */
function play(order: readonly number[], scoreOf: (model: number) => number, wins: Float64Array): void {
  for (let i = 0; i + 1 < order.length; i += 2) {
    const [a, b] = [order[i]!, order[i + 1]!];
    const difference = scoreOf(a) - scoreOf(b);
    wins[a]! += difference > 0 ? 1 : difference === 0 ? 0.5 : 0;
    wins[b]! += difference < 0 ? 1 : difference === 0 ? 0.5 : 0;
  }
  if (order.length % 2 === 1) wins[order.at(-1)!]! += 1;
}

/** Those that stay after a round. */
function staying(alive: readonly number[], wins: Float64Array, eliminate: number, random: Random): number[] {
  if (eliminate === 0) return [...alive];
  const fewest = alive.reduce((least, model) => Math.min(least, wins[model]!), Number.POSITIVE_INFINITY);
  const lowest = random.shuffled(alive.filter((model) => wins[model] === fewest));
  const leaving = new Set(lowest.slice(0, Math.min(eliminate, alive.length - 1)));
  return alive.filter((model) => !leaving.has(model));
}

/** Standings of models by their scores (models, benchmarks), of which more is better. */
export function tournaments(
  scores: readonly (readonly number[])[],
  { runs, eliminate, order, pairing, seed, signal }: TournamentOptions,
): Standing[] {
  const rounds = Array.from({ length: scores[0]?.length ?? 0 }, (_, k) => k);
  const all = Array.from(scores.keys());
  const [sums, squares, stayed] = [0, 1, 2].map(() => new Float64Array(scores.length));
  const random = new Random(seed, "swiss", eliminate);
  for (let run = 0; run < runs; run++) {
    if (run % 256 === 0) signal?.throwIfAborted();
    const wins = new Float64Array(scores.length);
    let alive = all;
    for (const k of order === "random" ? random.shuffled(rounds) : rounds) {
      play(paired(alive, wins, pairing, random), (model) => scores[model]![k]!, wins);
      alive = staying(alive, wins, eliminate, random);
    }
    for (const [model, won] of wins.entries()) {
      sums![model]! += won;
      squares![model]! += won * won;
    }
    for (const model of alive) stayed![model]! += 1;
  }
  return all.map((model) => {
    const wins = sums![model]! / runs;
    const variance = Math.max(0, squares![model]! / runs - wins * wins);
    return { wins, error: Math.sqrt(variance / runs), survived: stayed![model]! / runs };
  });
}

/** Slope of a line through points by least squares; undefined where there is one x alone. */
export function slopeOver(x: readonly number[], y: readonly number[]): number | undefined {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const spread = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
  return spread === 0 ? undefined : x.reduce((sum, value, i) => sum + (value - mx) * (y[i]! - my), 0) / spread;
}
