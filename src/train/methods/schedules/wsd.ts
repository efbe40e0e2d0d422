/** Warm-up, stable, decay. Hu et al. 2024 (MiniCPM), https://arxiv.org/abs/2404.06395. */
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
  name: "wsd",
  title: "Warm-up, stable, decay",
  about: "constant, then down over the last part",
  cite: "arXiv:2404.06395",
  laws: { ...EVERY_SCHEDULE_LAW, lengthFree: "its decay ends with the training" },
  options: {
    warmup: WARMUP,
    decay: { type: "number >= 0", default: 0.1, help: "steps of the decay, or below 1 the fraction of all steps" },
    decay_shape: { type: "'linear' | 'exponential' | 'sqrt'", default: "linear", help: "form of the decay" },
    min_ratio: { ...MIN_RATIO, default: 0.1 },
  },
  rate(t, { lr, steps, values }) {
    const before = stepsBefore(t, steps);
    const done = progress(before, steps - stepsOf(values.decay, steps), steps);
    const low = values.min_ratio;
    const rising = warmingUp(before, stepsOf(values.warmup, steps), lr);
    if (rising !== undefined || done === 0) return rising ?? lr;
    if (values.decay_shape === "exponential") return lr * Math.max(low, 1e-8) ** done;
    return lr * (1 - (1 - low) * (values.decay_shape === "sqrt" ? Math.sqrt(done) : done));
  },
});
