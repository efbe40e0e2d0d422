/**
 * Cross-entropy of logits with a loss per row, so that any weighting of tokens and any loss of sequence likelihoods
 * builds on it.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

export interface CrossEntropyOptions {
  /** Share of the target that is spread evenly over all outputs (arXiv:1512.00567). */
  readonly smoothing?: number;
  /** Weight of the squared log-partition (arXiv:2204.02311). */
  readonly zLoss?: number;
}

/** logits (N, V), targets (N) i32 -> loss of every row (N); rows with a negative target give 0 and take no gradient. */
export function crossEntropy(
  rec: Recorder,
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const { smoothing = 0, zLoss: z = 0 } = options;
  const { rows: n, width: v } = rowsOf(logits);
  if (sizeOf(targets.shape) !== n) throw new RangeError(`${n} rows of logits for ${showShape(targets.shape)} targets`);
  const nll = rec.result([n], [logits], "cross-entropy");
  const lse = rec.scratch([n, 2], "log sums of logits");
  rec.step({
    kernel: "cross-entropy/cross-entropy",
    bind: { logits, targets, nll, lse },
    params: { n, v, smoothing, z },
    ...rowWork(rec, n, v),
  });
  rec.onBackward(nll, (d_nll) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({
      kernel: "cross-entropy/cross-entropy-gradient",
      bind: { logits, targets, lse, d_nll, dx: into },
      params: { count: n * v, v, smoothing, z, accumulate },
      groups: spanGroups(n * v),
    });
  });
  return nll;
}

/**
 * Per row: the loss, the most likely output (the lowest of equals) and its probability; when asked for, the mean and
 * the variance (N, 2) of the log-probabilities of all outputs, weighted by their probabilities. Forward only.
 */
export function scoreTokens(
  rec: Recorder,
  logits: Tensor,
  targets: Tensor,
  asked: { readonly moments?: boolean } = {},
) {
  const { rows: n, width: v } = rowsOf(logits);
  const nll = rec.scratch([n], "nll");
  const confidence = rec.scratch([n], "confidence");
  const lse = rec.scratch([n, 2], "log sums of logits");
  const argmax = rec.scratch([n], "argmax", "u32");
  const moments = asked.moments ? rec.scratch([n, 2], "moments of log-probabilities") : undefined;
  const work = rowWork(rec, n, v);
  rec.step({
    kernel: "cross-entropy/cross-entropy",
    flags: ["score", ...(moments ? ["moments"] : []), ...work.flags],
    bind: { logits, targets, nll, lse, argmax, confidence, ...(moments ? { moments } : {}) },
    params: { n, v, smoothing: 0, z: 0 },
    groups: work.groups,
  });
  return { nll, argmax, confidence, moments };
}
