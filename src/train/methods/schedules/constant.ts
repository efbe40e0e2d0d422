/** A constant rate after an optional warm-up. */
import { defineSchedule, stepsOf, WARMUP, warmingUp } from "../../../run/training/schedule.ts";

export const method = defineSchedule({
  name: "constant",
  title: "Constant",
  about: "one rate throughout, after an optional warm-up",
  cite: "common practice",
  options: { warmup: WARMUP },
  rate: (t, { lr, steps, values }) => warmingUp(t, stepsOf(values.warmup, steps), lr) ?? lr,
});
