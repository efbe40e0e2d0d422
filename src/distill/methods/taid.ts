/**
 * TAID: a target that starts near the student's own distribution and slides to the teacher's, faster when the loss
 * falls faster. Shing et al., ICLR 2025, https://arxiv.org/abs/2501.16937
 *
 *   p_t = softmax((1 - t) sg[student] + t teacher),  J = -sum p_t log q
 *   progress = (J before - J) / J before;  momentum <- beta momentum + (1 - beta) progress
 *   t <- min(t_end, max(line, t + alpha sigmoid(momentum) (1 - t))),  line = t_start + (t_end - t_start) n / N
 *
 * t is updated once per optimizer step, from the mean over its micro-batches; step n uses the t from before its own
 * update.
 */

import type { Adaptive } from "../../run/training/adaptive.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { dynamic } from "../../tensor/recorder.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export interface TaidOptions {
  readonly t_start: number;
  readonly t_end: number;
  readonly alpha: number;
  readonly beta: number;
  readonly fixed: boolean;
}

/** The schedule of t; `heard` takes J of each step in turn. */
export function taidSchedule(
  { t_start, t_end, alpha, beta, fixed }: TaidOptions,
  steps: number,
): Required<Adaptive> & { readonly t: number } {
  let t = t_start;
  let before: number | null = null;
  let momentum = 0;
  let heard = 0;
  return {
    get t() {
      return t;
    },
    values: () => ({ t }),
    heard({ distill: loss }) {
      heard++;
      if (before !== null) {
        const line = t_start + (t_end - t_start) * ((heard - 1) / steps);
        momentum = beta * momentum + (1 - beta) * ((before - loss!) / (before + 1e-15));
        const step = (alpha / (1 + Math.exp(-momentum))) * (1 - t);
        t = fixed ? Math.min(t_end, line) : Math.min(t_end, Math.max(line, t + step));
      }
      before = loss!;
    },
    state: () => ({ t, before, momentum, heard }),
    load(state) {
      ({ t, before, momentum, heard } = state as Record<"t" | "momentum" | "heard", number> & {
        before: number | null;
      });
    },
  };
}

export const method = defineDistillation({
  name: "taid",
  title: "TAID",
  about: "target between student and teacher that moves to the teacher as the student keeps up",
  cite: "arXiv:2501.16937",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "it is a cross-entropy, whose least value is the target's entropy",
    gradientIsSlope: "the target follows the student and is held fixed",
  },
  needs: [teacherCache],
  options: {
    t_start: { type: "0 <= number <= 1", default: 0.4, help: "share of the teacher at the start; 0.2 for a large gap" },
    t_end: { type: "0 <= number <= 1", default: 1, help: "and at the end" },
    alpha: { type: "number >= 0", default: 5e-4, help: "largest step of t beyond the straight line" },
    beta: { type: "0 <= number < 1", default: 0.99, help: "momentum of the loss's relative fall" },
    fixed: { type: "boolean", default: false, help: "the straight line alone" },
  },
  rows: (rec, { student, teachers, targets }) =>
    divergence(rec, student, teachers[0]!, targets, {
      kind: "interpolated-target",
      a: dynamic("t"),
      crossEntropy: true,
    }),
  adaptive: ({ values, steps }) => taidSchedule(values, steps),
});
