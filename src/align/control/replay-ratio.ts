/**
 * How many updates there are for each step in the world. Adaptive: few while the critic still loses active units, more
 * from when their share has settled.
 *
 *   every n episodes F = mean share of active units of V over them; |F - F before| <= delta: low -> high, for good
 *
 * Ma et al., Revisiting Plasticity in Visual Reinforcement Learning: Data, Modules and Training Stages, ICLR 2024,
 * https://arxiv.org/abs/2310.07418
 */

import { UserError } from "../../errors.ts";
import type { Options, Values } from "../../method/options.ts";
import { type Kept, type Numbers, numbersOf } from "../../run/small-nets/kept.ts";

export const REPLAY_RATIO = {
  replay_ratio: {
    type: "string",
    default: "1",
    help: "updates for each step in the world, or adaptive, by the critic's active units",
    value: "R|adaptive",
  },
  replay_low: { type: "number > 0", default: 0.5, help: "adaptive: the ratio at first", value: "R" },
  replay_high: {
    type: "number > 0",
    default: 2,
    help: "adaptive: the ratio once active units have settled",
    value: "R",
  },
  replay_every: { type: "number.integer >= 1", default: 50, help: "adaptive: episodes between two looks", value: "N" },
  replay_delta: {
    type: "number",
    default: 0.001,
    help: "adaptive: change of the share of active units that counts as settled; below 0 none does",
  },
} as const satisfies Options;

type Asked = Values<typeof REPLAY_RATIO>;

/** Throws UserError for a ratio that is none. */
export function checkReplayRatio({ replay_ratio: asked }: Asked): void {
  if (asked !== "adaptive" && !(Number(asked) > 0 && Number.isFinite(Number(asked))))
    throw new UserError(`--replay-ratio ${asked} is no ratio`, "give a number above 0, or adaptive");
}

export class ReplayRatio implements Kept {
  readonly #asked: Asked;
  #shares: number[] = [];
  #before: number | undefined;
  #settled: number | undefined;
  #episodes = 0;
  #owed = 0;

  constructor(asked: Asked) {
    this.#asked = asked;
  }

  get ratio(): number {
    const { replay_ratio: asked, replay_low: low, replay_high: high } = this.#asked;
    if (asked !== "adaptive") return Number(asked);
    return this.#settled === undefined ? low : high;
  }

  /** The episode after which the ratio rose, from 1; undefined where it did not. */
  get settled(): number | undefined {
    return this.#settled;
  }

  /** Updates that are due after one more step in the world. */
  due(): number {
    this.#owed += this.ratio;
    const due = Math.floor(this.#owed);
    this.#owed -= due;
    return due;
  }

  /** Hears of the share of active units at an episode's end. */
  episode(share: number): void {
    this.#episodes++;
    this.#shares.push(share);
    if (this.#shares.length < this.#asked.replay_every) return;
    const now = this.#shares.reduce((sum, x) => sum + x, 0) / this.#shares.length;
    this.#shares = [];
    if (this.#before !== undefined && Math.abs(now - this.#before) <= this.#asked.replay_delta)
      this.#settled ??= this.#episodes;
    this.#before = now;
  }

  state(): Numbers {
    // NaN: there is none yet.
    const counts = Float64Array.of(this.#before ?? Number.NaN, this.#settled ?? Number.NaN, this.#episodes, this.#owed);
    return { counts, shares: Float64Array.from(this.#shares) };
  }

  load(numbers: Numbers): void {
    const [before, settled, episodes, owed] = numbersOf(numbers, "counts", 4);
    this.#before = Number.isNaN(before) ? undefined : before;
    this.#settled = Number.isNaN(settled) ? undefined : settled;
    this.#episodes = episodes!;
    this.#owed = owed!;
    this.#shares = [...numbersOf(numbers, "shares")];
  }
}
