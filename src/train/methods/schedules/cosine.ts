/**
 * Half a cosine after an optional warm-up, step by step as get_cosine_schedule_with_warmup of transformers has it.
 * Loshchilov & Hutter, ICLR 2017, https://arxiv.org/abs/1608.03983, without restarts.
 */
import {
  cosineBetween,
  defineSchedule,
  EVERY_SCHEDULE_LAW,
  MIN_RATIO,
  progress,
  stepsBefore,
  stepsOf,
  WARMUP,
  warmingUp,
} from "../../../run/training/schedule.ts";

export const method = defineSchedule({
  name: "cosine",
  title: "Cosine",
  about: "half a cosine down to the end, after an optional warm-up",
  cite: "arXiv:1608.03983",
  laws: { ...EVERY_SCHEDULE_LAW, lengthFree: "it is stretched over the training" },
  options: { warmup: WARMUP, min_ratio: MIN_RATIO },
  rate(t, { lr, steps, values }) {
    const warmup = stepsOf(values.warmup, steps);
    const before = stepsBefore(t, steps);
    const done = progress(before, warmup, steps);
    return warmingUp(before, warmup, lr) ?? cosineBetween(lr, lr * values.min_ratio, done);
  },
});
