/**
 * Losses over logits that never exist as a whole: some rows at a time, forward and back, so that a vocabulary may be
 * large.
 */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { type CrossEntropyOptions, crossEntropy } from "./cross-entropy.ts";

const BUDGET = 128 * 2 ** 20; // bytes of logits

/** Rows of logits that exist at once: a multiple of 64, within the budget and what an adapter binds. */
export function chunkRows(outputs: number, most = Number.POSITIVE_INFINITY, budget = BUDGET): number {
  return Math.max(64, Math.floor(Math.min(budget, most) / (4 * outputs) / 64) * 64);
}

export interface ChunkedHead {
  /** (N, C) */
  readonly hidden: Tensor;
  /** Logits of rows of it. */
  readonly head: (hidden: Tensor) => Tensor;
  /** Outputs of the head. */
  readonly width: number;
  /** Tensors with a row for each of hidden's, cut along. */
  readonly along: readonly Tensor[];
  /** Loss of every row of a chunk (n). */
  readonly loss: (logits: Tensor, along: readonly Tensor[], hidden: Tensor) => Tensor;
  /** Most bytes of logits; 128 MiB when left out. */
  readonly budget?: number;
}

/** Losses of all rows (N). With more than one chunk the logits are computed anew on the way back. */
export function chunkedHead(rec: Recorder, { hidden, head, width, along, loss, budget }: ChunkedHead): Tensor {
  const rows = chunkRows(width, rec.profile.maxBinding, budget);
  const parts = rec.split(hidden, rows);
  if (parts.length === 1) return loss(head(hidden), along, hidden);
  const cut = along.map((x) => rec.split(x, rows));
  const losses = parts.map((part, i) =>
    rec.recomputed(() =>
      loss(
        head(part),
        cut.map((list) => list[i]!),
        part,
      ),
    ),
  );
  return rec.concat(losses, "losses");
}

/** Cross-entropy of every row of hidden states (N). */
export function headLoss(
  rec: Recorder,
  given: Omit<ChunkedHead, "along" | "loss"> & CrossEntropyOptions & { readonly targets: Tensor },
): Tensor {
  const { targets, smoothing, zLoss, ...chunked } = given;
  const options = { ...(smoothing ? { smoothing } : {}), ...(zLoss ? { zLoss } : {}) };
  return chunkedHead(rec, {
    ...chunked,
    along: [targets],
    loss: (logits, [labels]) => crossEntropy(rec, logits, labels!, options),
  });
}
