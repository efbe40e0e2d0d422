/**
 * Covariance matrix adaptation: a normal distribution whose mean, step size and covariance follow the best points.
 *
 * Hansen, The CMA Evolution Strategy: A Tutorial, https://arxiv.org/abs/1604.00772, with its default parameters and
 * positive weights. Points outside [0, 1] are mirrored at the walls, and the update sees the mirrored point; so the
 * mean never leaves the box, and no score is made up. Only the order of scores counts.
 */
import { Random } from "../../data/random.ts";
import { symmetricEigen } from "../../tensor/linear-algebra/symmetric-eigen.ts";

/** All that a run of the strategy remembers; plain numbers, so that it is saved and read back without a change. */
export interface CmaState {
  generation: number;
  mean: number[];
  sigma: number;
  /** (n, n) row-major. */
  covariance: number[];
  /** Path of the covariance. */
  path: number[];
  /** Path of the step size. */
  sigmaPath: number[];
  /** Square roots of the eigenvalues, and (n, n) eigenvectors as rows, as they were at `decomposedAt`. */
  axes: number[];
  directions: number[];
  decomposedAt: number;
}

export interface CmaSetup {
  readonly start: readonly number[];
  readonly sigma: number;
  /** Points of a generation; 4 + floor(3 ln n) when left out. */
  readonly population?: number;
  readonly seed: number;
  /** Points stay within [0, 1]; true when left out. */
  readonly bounded?: boolean;
}

/** Learning rates of a dimension and a population. Tutorial, table 1. */
function rates(n: number, population: number) {
  const parents = Math.floor(population / 2);
  const raw = Array.from({ length: parents }, (_, i) => Math.log((population + 1) / 2) - Math.log(i + 1));
  const sum = raw.reduce((a, b) => a + b, 0);
  const weights = raw.map((w) => w / sum);
  const mass = 1 / weights.reduce((a, w) => a + w * w, 0);
  const sigmaRate = (mass + 2) / (n + mass + 5);
  const rankOne = 2 / ((n + 1.3) ** 2 + mass);
  return {
    parents,
    weights,
    mass,
    sigmaRate,
    damping: 1 + 2 * Math.max(0, Math.sqrt((mass - 1) / (n + 1)) - 1) + sigmaRate,
    pathRate: (4 + mass / n) / (n + 4 + (2 * mass) / n),
    rankOne,
    rankMu: Math.min(1 - rankOne, (2 * (mass - 2 + 1 / mass)) / ((n + 2) ** 2 + mass)),
    /** Expected length of a standard normal vector. */
    length: Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
  };
}

/** A number folded into [0, 1] by mirrors at 0 and 1. */
export function mirrored(x: number): number {
  const turn = x - 2 * Math.floor(x / 2);
  return turn <= 1 ? turn : 2 - turn;
}

const zeros = (count: number): number[] => new Array<number>(count).fill(0);

function identity(n: number): number[] {
  return Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? 1 : 0));
}

/** The mean of `points`, each with its weight. */
function weighted(points: readonly (readonly number[])[], weights: readonly number[], n: number): number[] {
  return Array.from({ length: n }, (_, i) => weights.reduce((sum, w, k) => sum + w * points[k]![i]!, 0));
}

export class Cma {
  readonly population: number;
  #state: CmaState;
  readonly #n: number;
  readonly #rates: ReturnType<typeof rates>;
  readonly #setup: CmaSetup;

  /** Throws RangeError for no dimension, a population below 4 or a step size that is not above 0. */
  constructor(setup: CmaSetup) {
    const n = setup.start.length;
    this.population = setup.population ?? 4 + Math.floor(3 * Math.log(n));
    if (n === 0 || this.population < 4 || !(setup.sigma > 0)) {
      throw new RangeError(`a search of ${n} numbers by ${this.population} points with step ${setup.sigma}`);
    }
    this.#n = n;
    this.#setup = setup;
    this.#rates = rates(n, this.population);
    this.#state = {
      generation: 0,
      mean: [...setup.start],
      sigma: setup.sigma,
      covariance: identity(n),
      path: zeros(n),
      sigmaPath: zeros(n),
      axes: zeros(n).fill(1),
      directions: identity(n),
      decomposedAt: 0,
    };
  }

  get state(): CmaState {
    return this.#state;
  }

  set state(state: CmaState) {
    this.#state = state;
  }

  /** Generations that were told. */
  get generation(): number {
    return this.#state.generation;
  }

  /** The mean of the distribution: the point to take when scores are noisy. */
  get mean(): readonly number[] {
    return this.#state.mean;
  }

  /** The standard deviation along the longest axis. */
  get spread(): number {
    return this.#state.sigma * Math.max(...this.#state.axes);
  }

  /** The points of this generation, the same at every call until `tell`. */
  ask(): number[][] {
    const { generation, mean, sigma, axes, directions } = this.#state;
    const n = this.#n;
    return Array.from({ length: this.population }, (_, k) => {
      const random = new Random(this.#setup.seed, "cma-es", generation, k);
      const point = [...mean];
      for (let j = 0; j < n; j++) {
        const step = sigma * axes[j]! * random.normal();
        for (let i = 0; i < n; i++) point[i]! += step * directions[j * n + i]!;
      }
      return this.#setup.bounded === false ? point : point.map(mirrored);
    });
  }

  /**
   * Moves the distribution. `scores` belong to the points of `ask`, lower is better; of equal scores the earlier point
   * is first, and NaN is last.
   */
  tell(scores: readonly number[]): void {
    const points = this.ask();
    const rank = (score: number) => (Number.isNaN(score) ? Number.POSITIVE_INFINITY : score);
    const order = Array.from(scores.keys()).sort((a, b) => {
      const [x, y] = [rank(scores[a]!), rank(scores[b]!)];
      return x < y ? -1 : x > y ? 1 : a - b;
    });
    const { parents, weights } = this.#rates;
    const { mean, sigma } = this.#state;
    const steps = order.slice(0, parents).map((at) => points[at]!.map((x, i) => (x - mean[i]!) / sigma));
    this.#follow(steps, weighted(steps, weights, this.#n));
  }

  /** The update from the parents' steps and their weighted mean, both in units of sigma. Tutorial, (31) to (37). */
  #follow(steps: readonly (readonly number[])[], step: readonly number[]): void {
    const n = this.#n;
    const s = this.#state;
    const { weights, mass, sigmaRate, damping, pathRate, rankOne, rankMu, length } = this.#rates;
    const white = this.#whitened(step);
    const pull = Math.sqrt(sigmaRate * (2 - sigmaRate) * mass);
    const sigmaPath = s.sigmaPath.map((p, i) => (1 - sigmaRate) * p + pull * white[i]!);
    const norm = Math.hypot(...sigmaPath);
    const settled = Math.sqrt(1 - (1 - sigmaRate) ** (2 * (s.generation + 1)));
    const steady = norm / settled < (1.4 + 2 / (n + 1)) * length ? 1 : 0;
    const push = steady * Math.sqrt(pathRate * (2 - pathRate) * mass);
    const path = s.path.map((p, i) => (1 - pathRate) * p + push * step[i]!);
    const keep = 1 - rankOne - rankMu + (1 - steady) * rankOne * pathRate * (2 - pathRate);
    const covariance = s.covariance.map((c, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      const spread = weights.reduce((sum, w, k) => sum + w * steps[k]![i]! * steps[k]![j]!, 0);
      return keep * c + rankOne * path[i]! * path[j]! + rankMu * spread;
    });
    this.#state = {
      ...s,
      generation: s.generation + 1,
      mean: s.mean.map((m, i) => m + s.sigma * step[i]!),
      sigma: s.sigma * Math.exp(Math.min(1, (sigmaRate / damping) * (norm / length - 1))),
      covariance,
      path,
      sigmaPath,
    };
    this.#decompose();
  }

  /** C^(-1/2) times a step. */
  #whitened(step: readonly number[]): number[] {
    const n = this.#n;
    const { axes, directions } = this.#state;
    const out = zeros(n);
    for (let j = 0; j < n; j++) {
      let along = 0;
      for (let i = 0; i < n; i++) along += directions[j * n + i]! * step[i]!;
      for (let i = 0; i < n; i++) out[i]! += (along / axes[j]!) * directions[j * n + i]!;
    }
    return out;
  }

  /** New axes, as often as the covariance changes by much: once in 1 / (10 n (c1 + cmu)) generations. */
  #decompose(): void {
    const n = this.#n;
    const s = this.#state;
    const { rankOne, rankMu } = this.#rates;
    if (s.generation - s.decomposedAt <= 1 / (10 * n * (rankOne + rankMu))) return;
    const { values, vectors } = symmetricEigen(Float64Array.from(s.covariance), n);
    const least = Math.max(values[0]! * 1e-14, Number.MIN_VALUE); // rounding must not make an axis vanish
    this.#state = {
      ...s,
      axes: Array.from(values, (value) => Math.sqrt(Math.max(value, least))),
      directions: [...vectors],
      decomposedAt: s.generation,
    };
  }
}
