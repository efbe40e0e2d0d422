/**
 * Several teachers with the balancers of MTARD: temperatures that keep the teachers equally certain, and weights that
 * give more to the teacher whose loss has fallen less. Zhao et al. 2023, https://arxiv.org/abs/2306.16170
 *
 *   loss         sum_k w_k KL(softmax(teacher_k / tau_k) || student)
 *   entropy      tau_k <- tau_k - rate sign(e_k - mean of the others' e), within [1, 10]
 *   norm         w_k <- w_k - rate (w_k - r_k / sum r), r_k = L_k / L_k at the start over their mean; at least 0, sum 1
 *
 * With --adversarial the first teacher, the accurate one, answers rows as they are, and all others, the robust ones,
 * rows that are moved against the student, which learns from both. Else every teacher sees the same rows.
 */

import type { Adaptive } from "../../run/training/adaptive.ts";
import { rowEntropy } from "../../tensor/ops/distribution.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, addScalar, mul, neg, scale } from "../../tensor/ops/elementwise.ts";
import { dynamic } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

/** Entropies that differ by less than this share are the same: their rows were added up in another order. */
const ROUNDED = 1e-6;

export interface MtardOptions {
  readonly balance: "both" | "entropy" | "norm" | "none";
  readonly temperature_rate: number;
  readonly weight_rate: number;
}

/** Temperatures and weights of K teachers; hears `loss_k` and `entropy_k`. */
export function mtardBalance(
  options: MtardOptions,
  count: number,
): Required<Adaptive> & { tau: number[]; weights: number[] } {
  const { balance, temperature_rate, weight_rate } = options;
  const self = {
    tau: Array.from({ length: count }, () => 1),
    weights: Array.from({ length: count }, () => 1 / count),
    first: undefined as number[] | undefined,
  };
  return {
    get tau() {
      return self.tau;
    },
    get weights() {
      return self.weights;
    },
    values: () =>
      Object.fromEntries([
        ...self.tau.map((tau, k) => [`inverse_${k}`, 1 / tau] as const),
        ...self.weights.map((weight, k) => [`weight_${k}`, weight] as const),
      ]),
    heard(metrics) {
      const losses = self.weights.map((_, k) => metrics[`loss_${k}`]!);
      const entropies = self.weights.map((_, k) => metrics[`entropy_${k}`]!);
      self.first ??= losses.map((loss) => Math.max(loss, 1e-12));
      if (balance === "both" || balance === "entropy") {
        const all = entropies.reduce((a, b) => a + b, 0);
        self.tau = self.tau.map((tau, k) => {
          const others = (all - entropies[k]!) / (count - 1);
          const gap = entropies[k]! - others;
          const way = Math.abs(gap) > ROUNDED * all ? Math.sign(gap) : 0;
          return Math.min(10, Math.max(1, tau - temperature_rate * way));
        });
      }
      if (balance === "both" || balance === "norm") {
        const relative = losses.map((loss, k) => loss / self.first![k]!);
        const sum = relative.reduce((a, b) => a + b, 0);
        // Where every loss is 0, all have come equally far.
        const share = (k: number) => (sum > 0 ? relative[k]! / sum : 1 / count);
        const moved = self.weights.map((w, k) => Math.max(0, w - weight_rate * (w - share(k))));
        const total = moved.reduce((a, b) => a + b, 0);
        self.weights = moved.map((w) => w / total);
      }
    },
    state: () => ({ tau: self.tau, weights: self.weights, first: self.first ?? null }),
    load(state) {
      const saved = state as Record<"tau" | "weights", number[]> & { first: number[] | null };
      [self.tau, self.weights, self.first] = [saved.tau, saved.weights, saved.first ?? undefined];
    },
  };
}

export const method = defineDistillation({
  name: "mtard",
  title: "Several teachers, balanced",
  about: "forward KL to several teachers, with balanced certainty and balanced progress",
  cite: "arXiv:2306.16170",
  laws: EVERY_LAW,
  teachers: [2, 8],
  options: {
    balance: { type: "'both' | 'entropy' | 'norm' | 'none'", default: "both", help: "what is balanced" },
    temperature_rate: { type: "number >= 0", default: 0.001, help: "step of the teachers' temperatures" },
    weight_rate: { type: "0 <= number <= 1", default: 0.025, help: "step of the teachers' weights" },
  },
  beside: true,
  rows(rec, { student, teachers, targets, moved, note }) {
    const unmoved = moved && addScalar(rec, neg(rec, moved), 1);
    const parts = teachers.map((teacher, k) => {
      // Half of the rows are a teacher's own, so that the mean over all is half of theirs.
      const own = k === 0 ? unmoved : moved;
      const ofOwn = (x: Tensor) => (own ? scale(rec, mul(rec, x, own), 2) : x);
      const softened = scale(rec, teacher, dynamic(`inverse_${k}`));
      note(`entropy_${k}`, ofOwn(rowEntropy(rec, softened)));
      const loss = ofOwn(divergence(rec, student, softened, targets, { kind: "forward-kl" }));
      note(`loss_${k}`, loss);
      return scale(rec, loss, dynamic(`weight_${k}`));
    });
    return parts.reduce((a, b) => add(rec, a, b));
  },
  adaptive: ({ values, teachers }) => mtardBalance(values, teachers),
});
