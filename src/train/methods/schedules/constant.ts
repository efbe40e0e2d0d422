/** A constant rate after an optional warm-up. */
import {
  defineSchedule,
  EVERY_SCHEDULE_LAW,
  stepsBefore,
  stepsOf,
  WARMUP,
  warmingUp,
} from "../../../run/training/schedule.ts";

export const method = defineSchedule({
  name: "constant",
  title: "Constant",
  about: "one rate throughout, after an optional warm-up",
  cite: "common practice",
  laws: EVERY_SCHEDULE_LAW,
  options: { warmup: WARMUP },
  rate: (t, { lr, steps, values }) => warmingUp(stepsBefore(t, steps), stepsOf(values.warmup, steps), lr) ?? lr,
});
