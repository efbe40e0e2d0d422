/**
 * CoBa: weights of groups in the loss that hold back what converges fast and hold down what diverges. Gong et al. 2024,
 * https://arxiv.org/abs/2410.06741; the balancer beside MFTCoder, https://arxiv.org/abs/2311.02303.
 *
 * v_i(t) = L_i(t) / L_i(0); s_i is the slope of the least-squares line through the last `window` values, s_max that of
 * max_i v_i.
 *
 *   R = softmax_i(K s_i / sum_j |s_j|)                          against the others, now
 *   A = softmax_i(-n s_i(t) / sum over the last n of |s_i|)      against its own past
 *   F = min(1, n softmax_t(-tau n s_max / sum |s_max|) [now])    near 0 when something diverges
 *   w = 0.9 softmax(K (F R + (1 - F) A)) + 1 / (10 K)
 *
 * The loss of a batch is sum_i w_i mean_i / sum_i w_i over the groups i in it, mean_i the mean over their tokens:
 * --task-loss task-token-mean, unless another is given. Before `burn_in` all w are equal.
 */

import { softmax, uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { SHARES, sharesOf } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";

/** Slope of the least-squares line through equally spaced values. */
export function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const across = values.reduce((sum, value, i) => sum + (i - middle) * value, 0);
  return across / values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
}

const over = (value: number, by: number): number => (by > 0 ? value / by : 0);
const sizeOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + Math.abs(value), 0);

/**
 * Weights from the slopes of every group, oldest first, and those of the worst. They sum to 1, each at least 1/(10 K).
 */
export function cobaWeights(slopes: readonly (readonly number[])[], worst: readonly number[], tau: number): number[] {
  const now = slopes.at(-1)!;
  const k = now.length;
  const n = slopes.length;
  const total = sizeOf(now);
  const relative = softmax(now.map((slope) => k * over(slope, total)));
  const own = softmax(now.map((slope, i) => -n * over(slope, sizeOf(slopes.map((at) => at[i]!)))));
  const all = sizeOf(worst);
  const past = softmax(worst.map((slope) => -tau * worst.length * over(slope, all)));
  const calm = Math.min(1, worst.length * past.at(-1)!);
  const weights = softmax(relative.map((r, i) => k * (calm * r + (1 - calm) * own[i]!)));
  return weights.map((weight) => 0.9 * weight + 0.1 / k);
}

export const method = defineSampler({
  name: "coba",
  title: "CoBa",
  about: "weights the losses of groups so that they converge together",
  cite: "arXiv:2410.06741",
  needs: ["losses"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "losses are compared by their ratio to the first",
    stepZero: "it has no step size",
  },
  taskLoss: "task-token-mean",
  options: {
    tau: { type: "number >= 0", default: 5, help: "how sharply a divergence is answered" },
    burn_in: { type: "number.integer >= 0", default: 100, help: "steps with equal weights" },
    window: { type: "number.integer >= 2", default: 20, help: "updates that slopes are fitted to" },
    every: { type: "number.integer >= 1", default: 10, help: "steps from one update to the next" },
    shares: SHARES,
  },
  make({ groups, values: { tau, burn_in, window, every, shares } }) {
    const probs = sharesOf(shares, groups);
    const memory = {
      first: [] as number[],
      curves: [] as number[][],
      slopes: [] as number[][],
      worst: [] as number[],
      weights: uniform(groups.length),
    };
    return {
      ...kept(memory),
      segment: () => ({ probs, steps: memory.first.length === 0 ? 0 : every, weights: memory.weights }),
      update({ step, losses = [] }) {
        if (memory.first.length === 0) {
          memory.first = known(losses, [], 1).map((loss) => (loss > 0 ? loss : 1));
          memory.curves = [memory.first.map(() => 1)];
          return;
        }
        const before = memory.curves.at(-1)!;
        const ratios = memory.first.map((first, i) => (losses[i] ?? Number.NaN) / first);
        memory.curves = [...memory.curves, known(ratios, before)].slice(-window);
        const slopes = memory.first.map((_, i) => slopeOf(memory.curves.map((values) => values[i]!)));
        memory.slopes = [...memory.slopes, slopes].slice(-window);
        memory.worst.push(slopeOf(memory.curves.map((values) => Math.max(...values))));
        if (step >= burn_in) memory.weights = cobaWeights(memory.slopes, memory.worst, tau);
      },
      notes: () => ({ balance: memory.weights, slopes: memory.slopes.at(-1) }),
    };
  },
});
