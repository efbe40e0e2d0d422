/**
 * Infinite schedule for continual pre-training: warm up once, cool to a constant rate that holds over any number of
 * data sets, anneal only when a checkpoint is to be used. https://arxiv.org/abs/2503.02844
 *
 * Warm-up and cool-down count from the first step, so they do not depend on how long the run is; the anneal counts
 * from its end. With --carry both count on over several data sets: a run that is to be used branches off the kept state
 * of the constant phase with --anneal as long as its steps.
 */
import { UserError } from "../../../errors.ts";
import {
  cosineBetween,
  defineSchedule,
  EVERY_SCHEDULE_LAW,
  progress,
  stepsBefore,
} from "../../../run/training/schedule.ts";

/**
 * The rate when `done` of the anneal is over. As 1 over a root it is high / sqrt(1 + c done), c so that it ends at
 * `low`.
 */
function annealed(high: number, low: number, shape: "exponential" | "linear" | "inverse-sqrt", done: number): number {
  if (shape === "linear") return high + (low - high) * done;
  if (shape === "inverse-sqrt") return high / Math.sqrt(1 + ((high / low) ** 2 - 1) * done);
  return high * (low / high) ** done;
}

export const method = defineSchedule({
  name: "infinite",
  title: "Infinite",
  about: "warm-up, cool-down, a constant rate for as long as wanted, an anneal at the end",
  cite: "arXiv:2503.02844",
  laws: EVERY_SCHEDULE_LAW,
  options: {
    warmup: { type: "number.integer >= 0", default: 100, help: "steps of linear warm-up" },
    cooldown: { type: "number.integer >= 0", default: 1000, help: "steps of cosine cool-down to the constant rate" },
    const_ratio: { type: "0 < number <= 1", default: 0.5, help: "the constant rate, as a share of --lr" },
    anneal: {
      type: "number.integer >= 0",
      default: 0,
      help: "steps of the anneal at the end; 0: none, to continue later",
    },
    min_ratio: { type: "0 < number <= 1", default: 0.1, help: "rate after the anneal, as a share of --lr" },
    anneal_shape: {
      type: "'exponential' | 'linear' | 'inverse-sqrt'",
      default: "exponential",
      help: "how the rate falls there: by equal factors, in a line, or as 1 over the root of the steps",
    },
  },
  rate(t, { lr, steps, values }) {
    const { warmup, cooldown, const_ratio, anneal, min_ratio, anneal_shape } = values;
    const start = steps - anneal;
    if (anneal > 0 && start < warmup + cooldown) {
      throw new UserError(
        `--anneal ${anneal} begins at step ${start}, before the constant phase at step ${warmup + cooldown}`,
        "train longer, or shorten --warmup, --cooldown or --anneal",
      );
    }
    const constant = lr * const_ratio;
    const before = stepsBefore(t, steps);
    if (before < warmup) return (lr * before) / warmup;
    if (before < warmup + cooldown) return cosineBetween(lr, constant, progress(before, warmup, warmup + cooldown));
    if (anneal === 0 || before < start) return constant;
    return annealed(constant, lr * min_ratio, anneal_shape, progress(before, start, steps));
  },
});
