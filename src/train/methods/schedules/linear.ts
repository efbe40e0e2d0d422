/** Linear decay after an optional warm-up. */
import {
  defineSchedule,
  EVERY_SCHEDULE_LAW,
  MIN_RATIO,
  progress,
  stepsOf,
  WARMUP,
  warmingUp,
} from "../../../run/training/schedule.ts";

export const method = defineSchedule({
  name: "linear",
  title: "Linear",
  about: "straight down to the end, after an optional warm-up",
  cite: "common practice",
  laws: { ...EVERY_SCHEDULE_LAW, lengthFree: "it is stretched over the training" },
  options: { warmup: WARMUP, min_ratio: MIN_RATIO },
  rate(t, { lr, steps, values }) {
    const warmup = stepsOf(values.warmup, steps);
    return warmingUp(t, warmup, lr) ?? lr * (1 - (1 - values.min_ratio) * progress(t, Math.max(1, warmup), steps));
  },
});
