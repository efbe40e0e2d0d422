/** AdamW, which other optimizers build on, and which they give to what they do not train themselves. */
import type { Bound } from "../method/bind.ts";
import { bindDefaults } from "../method/bind.ts";
import { defineOptimizer, EVERY_OPTIMIZER_LAW, type Optimizer } from "../run/training/optimizer.ts";
import { add, addScalar, div, scale, sqrt, square } from "../tensor/ops/elementwise.ts";
import type { Dynamic, Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

export const ADAMW_OPTIONS = {
  beta1: { type: "0 <= number < 1", default: 0.9, help: "decay of the first moment" },
  beta2: { type: "0 <= number < 1", default: 0.95, help: "decay of the second moment" },
  eps: { type: "number > 0", default: 1e-8, help: "added to the root of the second moment" },
  weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
} as const;

export const ADAMW = {
  kernel: "train/adamw",
  states: ["mean", "square"],
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  options: ADAMW_OPTIONS,
  fixed: ({ beta1, beta2, eps }) => ({ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, eps }),
  numbers: ({ beta1, beta2 }, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: lr / (1 - beta1 ** t),
    correction: 1 / Math.sqrt(1 - beta2 ** t),
  }),
} as const satisfies Partial<Optimizer<typeof ADAMW_OPTIONS>>;

const BESIDE = defineOptimizer({
  name: "adamw beside another",
  title: "AdamW",
  about: "AdamW, for what another optimizer does not train",
  cite: "arXiv:1711.05101",
  laws: EVERY_OPTIMIZER_LAW,
  ...ADAMW,
});

type AdamwValues = { readonly beta1: number; readonly beta2: number; readonly eps: number };

/** AdamW for what another optimizer does not train, under its values where it has them. */
export const besideBy = (values: Partial<AdamwValues> & { readonly weight_decay: number }): Bound<Optimizer> =>
  bindDefaults(BESIDE, values);

/** Corrections of moments that are `t` steps old. */
export const corrections = ({ beta1, beta2 }: AdamwValues, t: number) => ({
  correction1: 1 / (1 - beta1 ** t),
  correction2: 1 / Math.sqrt(1 - beta2 ** t),
});

/**
 * Adam's step of a gradient, and the moments that it leaves, in ops. `keep1` and `keep2` are the decays of the moments:
 * 0 forgets those that there are.
 */
export function adamStep(
  rec: Recorder,
  gradient: Tensor,
  states: { readonly mean: Tensor; readonly square: Tensor },
  values: AdamwValues,
  factors: Readonly<Record<"keep1" | "keep2" | "correction1" | "correction2", number | Dynamic>>,
): { readonly update: Tensor; readonly states: { readonly mean: Tensor; readonly square: Tensor } } {
  const { beta1, beta2, eps } = values;
  const mean = add(rec, scale(rec, states.mean, factors.keep1), scale(rec, gradient, 1 - beta1));
  const squares = add(rec, scale(rec, states.square, factors.keep2), scale(rec, square(rec, gradient), 1 - beta2));
  const sizes = addScalar(rec, scale(rec, sqrt(rec, squares), factors.correction2), eps);
  return {
    update: div(rec, scale(rec, mean, factors.correction1), sizes),
    states: { mean, square: squares },
  };
}
