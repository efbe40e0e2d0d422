/**
 * Levels of a consistency model's training (Song and Dhariwal, ICLR 2024, https://arxiv.org/abs/2310.14189): how many
 * there are at a step, which of them are drawn, and how far two answers are apart.
 */
import { add, addScalar, scale, sqrt, square, sub } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * N(k) of step k, from 0, of K: min(s_0 2^floor(k / K'), s_1) + 1, K' = floor(K / (log2 floor(s_1 / s_0) + 1)). The
 * number of intervals doubles in equal stretches of the steps.
 */
export function levelsAt(
  step: number,
  steps: number,
  { least, most }: { readonly least: number; readonly most: number },
) {
  const stretch = Math.max(1, Math.floor(steps / (Math.log2(Math.floor(most / least)) + 1)));
  return Math.min(least * 2 ** Math.floor(step / stretch), most) + 1;
}

/** Parts of an interval in which the density is taken for a parabola. */
const PARTS = 4;

/** Mass of a normal distribution between a and b, standard deviations from its mean; Simpson's rule. */
function normalMass(a: number, b: number): number {
  const density = (z: number) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  const width = (b - a) / PARTS;
  let sum = 0;
  for (let part = 0; part < PARTS; part++) {
    const at = a + part * width;
    sum += (width / 6) * (density(at) + 4 * density(at + width / 2) + density(at + width));
  }
  return sum;
}

/** How likely each interval of ascending levels is, where the logarithm of a level is normal; they sum to 1. */
export function intervalLaw(levels: readonly number[], { mean, std }: { readonly mean: number; readonly std: number }) {
  const masses = levels
    .slice(1)
    .map((level, i) => normalMass((Math.log(levels[i]!) - mean) / std, (Math.log(level) - mean) / std));
  const all = masses.reduce((sum, mass) => sum + mass, 0);
  return masses.map((mass) => mass / all);
}

/** What two answers (B, D) are apart (B): the square, or sqrt(square + c^2) - c. */
export function apart(
  rec: Recorder,
  [a, b]: readonly [Tensor, Tensor],
  by: { readonly metric: "pseudo-huber" | "l2"; readonly c?: number | undefined },
): Tensor {
  const squares = rowSum(rec, square(rec, sub(rec, a, b)));
  if (by.metric === "l2") return squares;
  const c = by.c ?? 0.00054 * Math.sqrt(a.shape.at(-1)!);
  return addScalar(rec, sqrt(rec, addScalar(rec, squares, c * c)), -c);
}

/** The sum of tensors of one shape, each times its number; those of 0 are left out. */
export function weighed(rec: Recorder, terms: readonly (readonly [number, Tensor])[]): Tensor {
  const [first, ...others] = terms.flatMap(([by, x]) => (by === 0 ? [] : [by === 1 ? x : scale(rec, x, by)]));
  if (!first) throw new RangeError("no term counts");
  return others.reduce((sum, x) => add(rec, sum, x), first);
}
