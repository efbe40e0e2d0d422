/**
 * What a learning-rate schedule is: a function of the step. Every file of train/methods/schedules exports one as
 * `method`.
 */
import { type Laws, sameClaim } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";

/** What may hold for a schedule, under its defaults. */
export const SCHEDULE_LAWS = {
  bounded: "the rate lies between 0 and the peak",
  reachesPeak: "some step has the peak",
  proportional: "a peak twice as high gives rates twice as high",
  holds: "beyond the last step the last rate holds",
  lengthFree: "a longer training begins as a shorter one does",
} as const;

export type ScheduleLaw = keyof typeof SCHEDULE_LAWS;

/** Claims all laws of a schedule. A schedule names its exceptions after it. */
export const EVERY_SCHEDULE_LAW = sameClaim(SCHEDULE_LAWS, true);

export interface Schedule<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<ScheduleLaw>;
  /**
   * Learning rate of step `t`, from 1 to `steps`; `lr` is the peak. Beyond `steps` the last value holds. Throws
   * UserError when the options do not fit together.
   */
  rate(t: number, given: { readonly lr: number; readonly steps: number; readonly values: Values<O> }): number;
}

export const defineSchedule = <const O extends Options>(schedule: Schedule<O>): Schedule<O> => schedule;

/** A number of steps, given as such or, below 1, as a fraction of all. */
export const stepsOf = (given: number, steps: number): number => (given < 1 ? Math.round(given * steps) : given);

/**
 * Steps that are done before step `t`, which give its rate: PyTorch and transformers number them so. The first step of
 * a warm-up has rate 0, and the last step of a decay still trains.
 */
export const stepsBefore = (t: number, steps: number): number => Math.min(t, steps) - 1;

/** Linear rise from 0 before any step to lr after `warmup` steps; undefined from there on. */
export const warmingUp = (before: number, warmup: number, lr: number): number | undefined =>
  before < warmup ? (lr * before) / warmup : undefined;

/**
 * How much of the way between two numbers of steps is done, 0 to 1; of a way without length nothing until it is
 * passed.
 */
export const progress = (before: number, from: number, to: number): number =>
  to <= from ? Number(before > from) : Math.min(1, Math.max(0, (before - from) / (to - from)));

/** Half a cosine from `high` to `low`. */
export const cosineBetween = (high: number, low: number, done: number): number =>
  low + 0.5 * (high - low) * (1 + Math.cos(Math.PI * done));

export const WARMUP = {
  type: "number >= 0",
  default: 0,
  help: "steps of linear warm-up, or below 1 the fraction of all steps",
} as const;

export const MIN_RATIO = {
  type: "0 <= number <= 1",
  default: 0,
  help: "rate that the end comes to, as a share of --lr",
} as const;

declare module "../../method/registry.ts" {
  interface Contracts {
    schedule: Schedule;
  }
}
