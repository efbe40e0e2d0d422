/**
 * Ways to share the gradients of a row of jobs out among n workers, of which some are slow now and then. Each says what
 * workers do in a round, and whether a round may end with those who have answered. What is not answered then is lost.
 *
 * Krishnan, Ebrahimi and Khisti, "Sequential Gradient Coding for Straggler Mitigation", ICLR 2023, arXiv:2211.13802:
 * a job is due some rounds after it began, and the work that stragglers owe it is done in between. So several trainings
 * must take turns, one more than the delay; a single one waits for each of its gradients.
 */

/** What a scheme can be set to. */
export interface SchemeSettings {
  readonly workers: number;
  /** Stragglers that a plain code stands. */
  readonly stragglers: number;
  /** Rounds in which at most `distinct` workers are slow, each in a stretch of `burst` at most. */
  readonly window: number;
  readonly burst: number;
  readonly distinct: number;
}

/** A scheme at work. */
export interface Scheme {
  /** Share of a job's gradients that a worker makes in a full round. */
  readonly load: number;
  /** Rounds from a job's first to its last. */
  readonly delay: number;
  /** The share that each worker makes in this round, from 1. */
  begin(round: number): readonly number[];
  /** Whether the round may end once these have answered. */
  enough(came: ReadonlySet<number>): boolean;
  /** Ends the round with those who have answered. */
  end(came: ReadonlySet<number>): void;
  /** Whether the gradient of a job is known, exactly. */
  isDone(job: number): boolean;
}

export const SCHEMES = ["plain", "gc", "sr-sgc", "m-sgc"] as const;
export type SchemeName = (typeof SCHEMES)[number];

/** A scheme of so many jobs. */
export function schemeOf(name: SchemeName, settings: SchemeSettings, jobs: number): Scheme {
  if (name === "plain") return new Repeating({ ...settings, stragglers: 0, again: 0 }, jobs);
  if (name === "gc") return new Repeating({ ...settings, again: 0 }, jobs);
  const { window, burst, distinct } = settings;
  if (name === "m-sgc") return new Interleaved(settings, jobs);
  const stragglers = Math.ceil((burst * distinct) / (window - 1 + burst));
  return new Repeating({ ...settings, stragglers, again: burst }, jobs);
}

/**
 * Gradient codes, and with `again` the same with a second chance (SR-SGC): as many of a job's stragglers as it lacks
 * sums of repeat their task `again` rounds later, when the job is due.
 */
class Repeating implements Scheme {
  readonly load: number;
  readonly delay: number;
  readonly #needed: number;
  readonly #workers: number;
  readonly #jobs: number;
  /** Who has answered each job, from 1. */
  readonly #answered = new Map<number, Set<number>>();
  /** The job that each worker is at. */
  #at: number[] = [];
  #due = 0;

  constructor({ workers, stragglers, again }: SchemeSettings & { readonly again: number }, jobs: number) {
    this.load = (stragglers + 1) / workers;
    this.delay = again;
    this.#needed = workers - stragglers;
    this.#workers = workers;
    this.#jobs = jobs;
  }

  #of(job: number): Set<number> {
    const found = this.#answered.get(job) ?? new Set<number>();
    this.#answered.set(job, found);
    return found;
  }

  begin(round: number): number[] {
    this.#due = round - this.delay;
    let lacking = this.delay > 0 && this.#due >= 1 ? this.#needed - this.#of(this.#due).size : 0;
    this.#at = Array.from({ length: this.#workers }, (_, worker) => {
      if (lacking <= 0 || this.#of(this.#due).has(worker)) return round;
      lacking--;
      return this.#due;
    });
    return this.#at.map((job) => (job <= this.#jobs ? this.load : 0));
  }

  enough(came: ReadonlySet<number>): boolean {
    if (this.#due < 1) return true;
    if (this.#of(this.#due).size + came.size < this.#needed) return false;
    const fresh = [...came].filter((worker) => this.#at[worker] === this.#due && !this.#of(this.#due).has(worker));
    return this.#of(this.#due).size + fresh.length >= this.#needed;
  }

  end(came: ReadonlySet<number>): void {
    for (const worker of came) this.#of(this.#at[worker]!).add(worker);
  }

  isDone(job: number): boolean {
    return this.#of(job).size >= this.#needed;
  }
}

/** What is known of a job of M-SGC. */
interface Known {
  /** Parts of each worker that were not made yet, in the order in which they are made. */
  readonly owed: Set<number>[];
  /** Who has sent the sum of each coded part. */
  readonly coded: Set<number>[];
}

/**
 * M-SGC: a job has window - 1 parts for each worker, uncoded, one a round, and `burst` coded ones, of which `distinct`
 * sums may be missing. In the last `burst` rounds of a job a worker makes up for parts that it owes, or else sends its
 * sum of a coded one. A round may end when its stragglers so far are such that every job will be whole in time.
 */
class Interleaved implements Scheme {
  readonly load: number;
  readonly delay: number;
  readonly #settings: SchemeSettings;
  readonly #jobs: number;
  readonly #known = new Map<number, Known>();
  /** Who was slow in the last rounds, the oldest first. */
  #slow: Set<number>[] = [];
  #round = 0;

  constructor(settings: SchemeSettings, jobs: number) {
    const { workers, window, burst, distinct } = settings;
    this.load = ((distinct + 1) * (window - 1 + burst)) / (workers * (burst + (window - 1) * (distinct + 1)));
    this.delay = window - 2 + burst;
    this.#settings = settings;
    this.#jobs = jobs;
  }

  #of(job: number): Known {
    const { workers, window, burst } = this.#settings;
    const found = this.#known.get(job) ?? {
      owed: Array.from({ length: workers }, () => new Set(Array.from({ length: window - 1 }, (_, part) => part))),
      coded: Array.from({ length: burst }, () => new Set<number>()),
    };
    this.#known.set(job, found);
    return found;
  }

  /** Jobs under way, each with how many rounds ago it began. */
  #underWay(): { job: number; age: number }[] {
    return Array.from({ length: this.delay + 1 }, (_, age) => ({ job: this.#round - age, age })).filter(
      ({ job }) => job >= 1 && job <= this.#jobs,
    );
  }

  begin(round: number): number[] {
    this.#round = round;
    const share = (this.load * this.#underWay().length) / (this.delay + 1);
    return Array<number>(this.#settings.workers).fill(share);
  }

  enough(came: ReadonlySet<number>): boolean {
    const { workers, window, burst, distinct } = this.#settings;
    if (workers - came.size > distinct) return false;
    const slow = new Set(Array.from({ length: workers }, (_, worker) => worker).filter((one) => !came.has(one)));
    const last = [...this.#slow, slow].slice(-window);
    const all = new Set(last.flatMap((some) => [...some]));
    if (all.size > distinct) return false;
    return [...all].every((worker) => {
      const at = last.flatMap((some, i) => (some.has(worker) ? [i] : []));
      return at.at(-1)! - at[0]! < burst;
    });
  }

  end(came: ReadonlySet<number>): void {
    const { workers, window } = this.#settings;
    for (const { job, age } of this.#underWay())
      for (const worker of came) {
        const { owed, coded } = this.#of(job);
        const own = owed[worker]!;
        const [first] = own;
        if (age < window - 1) own.delete(age);
        else if (first !== undefined) own.delete(first);
        else coded[age - (window - 1)]!.add(worker);
      }
    const slow = Array.from({ length: workers }, (_, worker) => worker).filter((one) => !came.has(one));
    this.#slow = [...this.#slow, new Set(slow)].slice(-(window - 1));
    if (window === 1) this.#slow = [];
  }

  isDone(job: number): boolean {
    const { workers, distinct } = this.#settings;
    const { owed, coded } = this.#of(job);
    return owed.every(({ size }) => size === 0) && coded.every(({ size }) => size >= workers - distinct);
  }
}
