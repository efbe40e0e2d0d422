/**
 * Re-warming of a decayed checkpoint for new data: from a low rate up to --lr, then a cosine down to the low rate
 * again. Gupta et al. 2023, https://arxiv.org/abs/2308.04014
 */
import {
  cosineBetween,
  defineSchedule,
  EVERY_SCHEDULE_LAW,
  progress,
  stepsBefore,
  stepsOf,
} from "../../../run/training/schedule.ts";

export const method = defineSchedule({
  name: "rewarm",
  title: "Re-warming",
  about: "up from the end of an earlier schedule, then a cosine down",
  cite: "arXiv:2308.04014",
  laws: { ...EVERY_SCHEDULE_LAW, lengthFree: "it is stretched over the training" },
  options: {
    warmup: {
      type: "number >= 0",
      default: 0.01,
      help: "steps of linear warm-up, or below 1 the fraction of all steps",
    },
    start_ratio: { type: "0 <= number <= 1", default: 0.1, help: "rate to start from, as a share of --lr" },
    min_ratio: { type: "0 <= number <= 1", default: 0.1, help: "rate that the end comes to, as a share of --lr" },
  },
  rate(t, { lr, steps, values }) {
    const warmup = stepsOf(values.warmup, steps);
    const before = stepsBefore(t, steps);
    if (before < warmup) return lr * (values.start_ratio + (1 - values.start_ratio) * (before / warmup));
    return cosineBetween(lr, lr * values.min_ratio, progress(before, warmup, steps));
  },
});
