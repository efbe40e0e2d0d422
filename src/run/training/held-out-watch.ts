/** What held-out losses say of a run: the best so far, and how long ago that was. All of it is in the saved state. */
import { type GroupLoss, meanOfGroups, meansOfGroups } from "./held-out.ts";

/** The step with the lowest held-out loss. */
export interface Best {
  readonly step: number;
  readonly loss: number;
}

/** A number of the held-out losses of a step of which less is better. */
export type Judge = (losses: readonly GroupLoss[]) => number;

/** As training.json has it. */
export interface WatchState {
  readonly best?: Best;
  /** Evaluations since the best one; left out when there are none. */
  readonly waited?: number;
}

/** What is said beside a held-out loss, where an objective reports it. */
const SAID = ["accuracy", "margin", "error"];

/** `0.8211 (keep 0.7012, language 0.9410), accuracy 0.7500`; of one group the mean alone. */
export function lossText(losses: readonly GroupLoss[]): string {
  const mean = meanOfGroups(losses).toFixed(4);
  const groups = losses.map(({ name, loss }) => `${name} ${loss.toFixed(4)}`).join(", ");
  const means = meansOfGroups(losses);
  const besides = SAID.flatMap((name) => (name in means ? [`, ${name} ${means[name]!.toFixed(4)}`] : []));
  return `${mean}${losses.length < 2 ? "" : ` (${groups})`}${besides.join("")}`;
}

/**
 * Hears every evaluation of a run. `patience`: evaluations without a better loss after which the run is over; it never
 * is where that is undefined.
 */
export class HeldOutWatch {
  readonly #patience: number | undefined;
  readonly #judge: Judge;
  #best: Best | undefined;
  #waited: number;
  /** Losses of the latest evaluation. */
  latest: readonly GroupLoss[] | undefined;

  /** `judge` says what is best: the mean loss when left out. */
  constructor(patience: number | undefined, { best, waited = 0 }: WatchState = {}, judge: Judge = meanOfGroups) {
    this.#patience = patience;
    this.#judge = judge;
    this.#best = best;
    this.#waited = waited;
  }

  get best(): Best | undefined {
    return this.#best;
  }

  /** Whether as many evaluations as `patience` allows were no better than the best. */
  get over(): boolean {
    return this.#patience !== undefined && this.#waited >= this.#patience;
  }

  /** Takes the losses of a step; true where what is judged is lower than every one before. A NaN never is. */
  hear(step: number, losses: readonly GroupLoss[]): boolean {
    this.latest = losses;
    const loss = this.#judge(losses);
    const isBetter = this.#best ? loss < this.#best.loss : !Number.isNaN(loss);
    if (isBetter) this.#best = { step, loss };
    this.#waited = isBetter ? 0 : this.#waited + 1;
    return isBetter;
  }

  state(): WatchState {
    return { ...(this.#best ? { best: this.#best } : {}), ...(this.#waited > 0 ? { waited: this.#waited } : {}) };
  }
}
