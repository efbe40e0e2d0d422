/**
 * Thresholds of rewards that are found while a policy trains: it is held at one point of thresholds after the other
 * until its rewards are there, a gold score is measured, and a search without gradients says which point is next.
 * Points near one that was measured have its score. Moskovitz et al. 2023, https://arxiv.org/abs/2310.04373
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json } from "../../../json.ts";
import { meanOf } from "../advantages.ts";
import type { Rewarded } from "../contract.ts";
import { type ConstrainedSetup, ConstrainedWeights } from "./constrained.ts";
import type { Plain, RewardWeights, Weighed } from "./contract.ts";
import { nelderMead } from "./nelder-mead.ts";

export interface Tuning {
  /** What each term behind the rewards weighs in the gold score. */
  readonly gold: readonly number[];
  /** Sides of the first simplex. */
  readonly steps: readonly number[];
  /** Most rollouts at a point. */
  readonly patience: number;
  /** Rollouts whose mean says where the policy is. */
  readonly window: number;
  /** How near a reward is to a threshold that it has reached, and one point to another that is the same. */
  readonly near: number;
}

/** Points in a row that were measured before, after which a search is over. */
const MOST_KNOWN = 20;

/** A point where the gold score was measured. */
interface Found {
  readonly point: readonly number[];
  readonly gold: number;
  /** What the rewards were in the mean. */
  readonly means: readonly number[];
}

export class ThresholdSearch implements RewardWeights {
  readonly #setup: ConstrainedSetup;
  readonly #tuning: Tuning;
  readonly #weights: ConstrainedWeights;
  #search: ReturnType<typeof nelderMead>;
  #found: Found[] = [];
  /** Means of the latest rollouts, those of the gold terms behind those of the rewards. */
  #recent: (readonly number[])[] = [];
  #rollouts = 0;
  #over = false;

  /** Begins at the thresholds of the setup. */
  constructor(setup: ConstrainedSetup, tuning: Tuning) {
    [this.#setup, this.#tuning] = [setup, tuning];
    this.#weights = new ConstrainedWeights(setup);
    this.#search = nelderMead(setup.thresholds, tuning.steps);
    this.#search.next();
  }

  /** The best point so far. */
  get best(): Found | undefined {
    return this.#found.toSorted((a, b) => b.gold - a.gold)[0];
  }

  weighed(given: Rewarded<never>, plain: Plain): Weighed {
    return this.#weights.weighed(given, plain);
  }

  heard(means: readonly number[]): void {
    this.#weights.heard(means);
    const { window, patience, near } = this.#tuning;
    this.#recent = [...this.#recent, means].slice(-window);
    this.#rollouts++;
    if (this.#over || this.#recent.length < window) return;
    const now = means.map((_, k) => meanOf(this.#recent.map((own) => own[k]!)));
    const isThere = this.#weights.thresholds.every((threshold, k) => Math.abs(now[k]! - threshold) <= near);
    if (isThere || this.#rollouts >= patience) this.#measured(now);
  }

  /** Takes the score of the point, and goes on to the next that has none. */
  #measured(now: readonly number[]): void {
    const { gold } = this.#tuning;
    const { thresholds } = this.#weights;
    const score = gold.reduce((sum, weight, k) => sum + weight * now[thresholds.length + k]!, 0);
    this.#found.push({ point: thresholds, gold: score, means: now.slice(0, thresholds.length) });
    this.#next(score);
    [this.#recent, this.#rollouts] = [[], 0];
  }

  #next(score: number): void {
    let asked = this.#search.next(score).value;
    for (let known = 0; ; known++) {
      const point = asked;
      const same = this.#found.find((other) => {
        return other.point.every((x, k) => Math.abs(x - point[k]!) <= this.#tuning.near);
      });
      this.#over = known >= MOST_KNOWN;
      this.#weights.thresholds = this.#over ? this.best!.means : point;
      if (!same || this.#over) return;
      asked = this.#search.next(same.gold).value;
    }
  }

  told(): Record<string, number> {
    const named = (what: string, values: readonly number[]) =>
      Object.fromEntries(this.#setup.names.map((name, k) => [`${what}.${name.replaceAll("-", "_")}`, values[k]!]));
    const { best } = this;
    return {
      ...this.#weights.told(),
      ...named("threshold", this.#weights.thresholds),
      tried_thresholds: this.#found.length,
      ...(best ? { best_gold: best.gold, ...named("best_threshold", best.means) } : {}),
    };
  }

  said(): string {
    const { best } = this;
    if (!best) return "";
    const point = best.means.map((x) => x.toFixed(3)).join(",");
    return `best of ${this.#found.length}: --thresholds ${point} (gold ${best.gold.toFixed(3)})`;
  }

  state(): Json {
    const found = this.#found.map(({ point, gold, means }) => ({ point: [...point], gold, means: [...means] }));
    const recent = this.#recent.map((own) => [...own]);
    return { weights: this.#weights.state(), found, recent, rollouts: this.#rollouts };
  }

  load(state: Json): void {
    const areNumbers = (all: unknown): all is number[] =>
      Array.isArray(all) && all.every((x) => typeof x === "number" && Number.isFinite(x));
    const size = this.#setup.thresholds.length;
    const isFound = (one: unknown): one is Found => {
      const { point, gold, means } = isObject(one) ? one : {};
      const isPoint = (all: unknown) => areNumbers(all) && all.length === size;
      return isPoint(point) && isPoint(means) && typeof gold === "number";
    };
    const { weights = null, recent, rollouts, ...more } = isObject(state) ? state : {};
    const found: unknown = more.found;
    const isList = Array.isArray(found) && Array.isArray(recent);
    if (!isList || !found.every(isFound) || !recent.every(areNumbers) || typeof rollouts !== "number")
      throw new UserError("the saved state of the search for thresholds is damaged", "start again without --resume");
    this.#weights.load(weights);
    this.#found = [];
    this.#search = nelderMead(this.#setup.thresholds, this.#tuning.steps);
    this.#search.next();
    // The same answers lead to the same points.
    for (const one of found) {
      this.#found.push(one);
      this.#next(one.gold);
    }
    [this.#recent, this.#rollouts] = [recent, rollouts];
  }
}
