/**
 * The preference loss of DPO: a wanted answer is preferred to the one to forget, each measured against the model as it
 * was (theta0). Rafailov et al., NeurIPS 2023, https://arxiv.org/abs/2305.18290; scaled for unlearning by Zhang et al.
 * 2024, https://arxiv.org/abs/2404.05868
 */
import { logSigmoid, neg, scale, sub } from "../tensor/ops/elementwise.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Likelihoods of B answers. */
export interface Answers {
  /** (B, T): -log probability of every token that counts, else 0. */
  readonly nll: Tensor;
  /** (B): theta0's sum of nll. */
  readonly reference: Tensor;
}

export const BETA = { type: "number > 0", default: 0.1, help: "strength of the preference" } as const;

/**
 * -(2 / beta) log sigmoid(beta (gain of the wanted answer - gain of the one to forget)), the gain of an answer being
 * log p - log p_theta0. -> (B)
 */
export function preferenceLoss(rec: Recorder, wanted: Answers, forget: Answers, beta: number): Tensor {
  const lost = ({ nll, reference }: Answers) => sub(rec, rowSum(rec, nll), reference);
  const margin = sub(rec, lost(forget), lost(wanted));
  return scale(rec, neg(rec, logSigmoid(rec, scale(rec, margin, beta))), 2 / beta);
}
