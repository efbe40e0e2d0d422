/**
 * Losses that are functions of the likelihoods of tokens and sequences: all of them build on the cross-entropy per token, whose
 * gradient they weight.
 *
 * `nll` is (B, T), 0 where a token does not count; sums over a sequence are (B).
 */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { addScalar, div, exp, log, logSigmoid, mul, neg, scale, stopGradient, sub } from "./elementwise.ts";
import { rowSum } from "./reduce.ts";

/** NPO: -(2 / beta) log sigmoid(beta (NLL - reference)). Zhang et al. 2024, https://arxiv.org/abs/2404.05868. -> (B) */
export function npo(rec: Recorder, nll: Tensor, reference: Tensor, beta: number): Tensor {
  const margin = sub(rec, rowSum(rec, nll), reference);
  return scale(rec, logSigmoid(rec, scale(rec, margin, beta)), -2 / beta);
}

/** SimNPO: -(2 / beta) log sigmoid(beta (NLL / length - gamma)). Fan et al. 2024, https://arxiv.org/abs/2410.07163. -> (B) */
export function simnpo(rec: Recorder, nll: Tensor, lengths: Tensor, beta: number, gamma: number): Tensor {
  const margin = addScalar(rec, div(rec, rowSum(rec, nll), lengths), -gamma);
  return scale(rec, logSigmoid(rec, scale(rec, margin, beta)), -2 / beta);
}

export interface Pair {
  readonly nll: Tensor;
  /** (B) NLL of the same sequences under the reference. */
  readonly reference: Tensor;
}

/** DPO: -log sigmoid(beta (gain of the chosen - gain of the rejected)). Rafailov et al. 2023, https://arxiv.org/abs/2305.18290. -> (B) */
export function dpo(rec: Recorder, chosen: Pair, rejected: Pair, beta: number): Tensor {
  const lost = ({ nll, reference }: Pair) => sub(rec, rowSum(rec, nll), reference);
  const margin = sub(rec, lost(rejected), lost(chosen));
  return neg(rec, logSigmoid(rec, scale(rec, margin, beta)));
}

/** Gradient ascent: the cross-entropy with its sign turned. -> as nll */
export const gradientAscent = (rec: Recorder, nll: Tensor): Tensor => neg(rec, nll);

/** WGA: gradient ascent weighted by p^beta, p the label's probability held fixed. Wang et al. 2025, https://arxiv.org/abs/2502.19301. */
export function wga(rec: Recorder, nll: Tensor, beta: number): Tensor {
  const weight = exp(rec, scale(rec, stopGradient(rec, nll), -beta));
  return neg(rec, mul(rec, weight, nll));
}

/** SatImp: gradient ascent weighted by p^beta1 (1 - p)^beta2. Yang et al. 2025, https://arxiv.org/abs/2505.11953. */
export function satimp(rec: Recorder, nll: Tensor, beta1: number, beta2: number): Tensor {
  const fixed = stopGradient(rec, nll);
  const certain = exp(rec, scale(rec, fixed, -beta1));
  if (beta2 === 0) return neg(rec, mul(rec, certain, nll));
  const rest = addScalar(rec, neg(rec, exp(rec, neg(rec, fixed))), 1); // 1 - p
  const doubtful = exp(rec, scale(rec, log(rec, rest), beta2));
  return neg(rec, mul(rec, mul(rec, certain, doubtful), nll));
}
