/**
 * Which worker computes which rows of which expert. Experts live on workers in equal blocks; where one has more rows
 * than it should, those beyond go to the least loaded workers, and the expert's weights with them. Every row is
 * computed once, by the same weights, so no result depends on the plan. Least-Loaded Expert Parallelism, 2026.
 */

export interface PlanOptions {
  readonly workers: number;
  /** What a worker may hold, over an even part. */
  readonly alpha: number;
  /** Fewer rows are not worth weights that move, unless they are the rest of an expert. */
  readonly leastRows: number;
  /** Rows stay where their experts live unless the fullest worker has more than so many times an even part. */
  readonly lambda: number;
}

/** Rows `begin` to `begin + count` of an expert, on a worker. */
export interface Chunk {
  readonly expert: number;
  readonly worker: number;
  readonly begin: number;
  readonly count: number;
}

export interface ExpertPlan {
  readonly chunks: readonly Chunk[];
  /** Rows of each worker. */
  readonly loads: readonly number[];
  /** Chunks away from home: each moves its expert's weights there, and their gradient back. */
  readonly transfers: readonly Chunk[];
}

/** The worker that an expert lives on. */
export const homeOf = (expert: number, experts: number, workers: number): number =>
  Math.floor((expert * workers) / experts);

const planOf = (chunks: readonly Chunk[], experts: number, workers: number): ExpertPlan => {
  const loads = new Array<number>(workers).fill(0);
  for (const { worker, count } of chunks) loads[worker]! += count;
  const transfers = chunks.filter(({ expert, worker }) => worker !== homeOf(expert, experts, workers));
  return { chunks, loads, transfers };
};

/** All rows where their experts live. */
export function staticPlan(counts: readonly number[], workers: number): ExpertPlan {
  const whole = counts.map((count, expert) => ({
    ...{ expert, begin: 0, count },
    worker: homeOf(expert, counts.length, workers),
  }));
  return planOf(
    whole.filter(({ count }) => count > 0),
    counts.length,
    workers,
  );
}

/** The fullest worker over an even part; 1 where all have as many rows, or none. */
export function imbalance({ loads }: ExpertPlan): number {
  const total = loads.reduce((a, b) => a + b, 0);
  return total === 0 ? 1 : (Math.max(...loads) * loads.length) / total;
}

/** Loads while experts are given out: what is assigned, and what waits for its home. */
class Loads {
  readonly #assigned: number[];
  readonly #pending: number[];
  readonly #most: number;

  constructor(workers: number, most: number) {
    this.#assigned = new Array<number>(workers).fill(0);
    this.#pending = new Array<number>(workers).fill(0);
    this.#most = most;
  }

  wait(worker: number, count: number): void {
    this.#pending[worker]! += count;
  }

  assign(worker: number, count: number): void {
    this.#assigned[worker]! += count;
  }

  #load(worker: number): number {
    return this.#assigned[worker]! + this.#pending[worker]!;
  }

  /** Whole rows that a worker has room for. */
  room(worker: number): number {
    return Math.max(0, Math.floor(this.#most - this.#load(worker)));
  }

  /** Workers, the least loaded first. */
  get order(): number[] {
    return this.#assigned.map((_, worker) => worker).sort((a, b) => this.#load(a) - this.#load(b) || a - b);
  }
}

/**
 * The plan for `counts`, rows of each expert. Throws RangeError for counts that are not whole numbers from 0 on, and
 * for more workers than experts.
 */
export function leastLoadedPlan(
  counts: readonly number[],
  { workers, alpha, leastRows, lambda }: PlanOptions,
): ExpertPlan {
  const experts = counts.length;
  const odd = counts.find((count) => !Number.isInteger(count) || count < 0);
  if (odd !== undefined) throw new RangeError(`an expert has ${odd} rows`);
  if (!Number.isInteger(workers) || workers < 1 || workers > experts)
    throw new RangeError(`${experts} experts on ${workers} workers`);
  const plain = staticPlan(counts, workers);
  if (imbalance(plain) <= lambda) return plain;
  const total = counts.reduce((a, b) => a + b, 0);
  const loads = new Loads(workers, (alpha * total) / workers);
  for (const [expert, count] of counts.entries()) loads.wait(homeOf(expert, experts, workers), count);
  const chunks: Chunk[] = [];
  const largest = counts.map((_, expert) => expert).sort((a, b) => counts[b]! - counts[a]! || a - b);
  for (const expert of largest) {
    const home = homeOf(expert, experts, workers);
    const count = counts[expert]!;
    loads.wait(home, -count);
    let begin = 0;
    const give = (worker: number, rows: number) => {
      if (rows === 0) return;
      chunks.push({ expert, worker, begin, count: rows });
      loads.assign(worker, rows);
      begin += rows;
    };
    give(home, Math.min(count, loads.room(home)));
    while (begin < count) {
      const rest = count - begin;
      const order = loads.order;
      const worker = order.find((one) => {
        const rows = Math.min(rest, loads.room(one));
        return rows > 0 && (rows >= leastRows || rows === rest);
      });
      if (worker === undefined) give(order[0]!, rest);
      else give(worker, Math.min(rest, loads.room(worker)));
    }
  }
  return planOf(chunks, experts, workers);
}
