/**
 * CAGrad: near the mean of the groups' gradients, the direction along which the loss that falls least falls most.
 *
 *   d = g_0 + c |g_0| / |g_w| g_w,  g_0 the mean,  g_w = sum_j w_j g_j,  w = argmin <g_w, g_0> + c |g_0| |g_w|
 *
 * over the simplex: the dual of max_d min_j <g_j, d> with |d - g_0| <= c |g_0|. Liu et al., "Conflict-averse gradient
 * descent for multi-task learning", NeurIPS 2021, https://arxiv.org/abs/2110.14048, Algorithm 1, without the rescaling
 * of the authors' code. With c of 0 it is `equal`. Solved in f64 on the host, which waits for the products of every
 * step.
 */

import { nearestMixture } from "../../../run/simplex.ts";
import { defineGradientRule, GROUP_LAWS } from "../../../run/training/gradient-rule.ts";
import { GroupGradients } from "../../../run/training/rules/group-gradients.ts";

/** Steps of projected descent, each halved until it goes down. */
const STEPS = 500;

/** What every gradient counts in d, from their products. */
export function averseWeights(gram: readonly (readonly number[])[], c: number): number[] {
  const m = gram.length;
  const even = Array<number>(m).fill(1 / m);
  const through = (w: readonly number[]) => gram.map((row) => row.reduce((sum, value, i) => sum + value * w[i]!, 0));
  const length = (w: readonly number[], mw: readonly number[]) =>
    Math.sqrt(
      Math.max(
        0,
        w.reduce((sum, value, i) => sum + value * mw[i]!, 0),
      ),
    );
  const toMean = through(even);
  const mean = length(even, toMean);
  if (c === 0 || !(mean > 0)) return even;
  const value = (w: readonly number[]) =>
    w.reduce((sum, share, i) => sum + share * toMean[i]!, 0) + c * mean * length(w, through(w));
  let [w, rate] = [even, 1 / Math.max(...gram.map((row, i) => row[i]!))];
  let best = value(w);
  for (let step = 0; step < STEPS && rate > 1e-12 / mean ** 2; step++) {
    const mw = through(w);
    const size = Math.max(1e-12 * mean, length(w, mw));
    const slope = mw.map((product, i) => toMean[i]! + (c * mean * product) / size);
    const next = nearestMixture(w.map((share, i) => share - rate * slope[i]!));
    const found = value(next);
    if (found < best) [w, best, rate] = [next, found, 2 * rate];
    else rate /= 2;
  }
  const own = length(w, through(w));
  const lambda = own > 1e-12 * mean ? (c * mean) / own : 0;
  return w.map((share) => 1 / m + lambda * share);
}

export const method = defineGradientRule({
  name: "cagrad",
  title: "Conflict-averse gradient",
  about: "near the mean of the groups' gradients, where the loss that falls least falls most",
  cite: "arXiv:2110.14048",
  laws: {
    ...GROUP_LAWS,
    descends: "no direction that near the mean may lower every loss",
    twice: "a group that is there twice counts twice in the mean",
  },
  options: {
    cagrad_c: {
      type: "0 <= number < 1",
      default: 0.4,
      help: "how far from the mean it may be, over the mean's length; 0: the mean",
      value: "C",
    },
  },
  groups: {},
  rule: ({ gpu, parameters, groups, isShared, values: { cagrad_c: c } }) =>
    new GroupGradients(
      gpu,
      parameters,
      { name: "cagrad", groups, isShared },
      { solve: (gram) => averseWeights(gram, c) },
    ),
});
