/** Linear decay after an optional warm-up, step by step as get_linear_schedule_with_warmup of transformers has it. */
import {
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
  name: "linear",
  title: "Linear",
  about: "straight down to the end, after an optional warm-up",
  cite: "common practice",
  laws: { ...EVERY_SCHEDULE_LAW, lengthFree: "it is stretched over the training" },
  options: { warmup: WARMUP, min_ratio: MIN_RATIO },
  rate(t, { lr, steps, values }) {
    const warmup = stepsOf(values.warmup, steps);
    const before = stepsBefore(t, steps);
    return warmingUp(before, warmup, lr) ?? lr * (1 - (1 - values.min_ratio) * progress(before, warmup, steps));
  },
});
