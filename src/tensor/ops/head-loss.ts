/**
 * Losses over logits that never exist as a whole: some rows at a time, forward and back, so that a vocabulary may be
 * large.
 */
import { concat } from "../concat.ts";
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

/** Several numbers of every row, each of which may be a loss. */
export type ChunkedHeads = Omit<ChunkedHead, "loss"> & {
  /** Of every row of a chunk: (n) each, in the same order for all chunks. */
  readonly losses: (logits: Tensor, along: readonly Tensor[], hidden: Tensor) => readonly Tensor[];
};

/** Losses of all rows, (N) each. With more than one chunk the logits are computed anew on the way back. */
export function chunkedHeads(
  rec: Recorder,
  { hidden, head, width, along, losses, budget }: ChunkedHeads,
): readonly Tensor[] {
  const rows = chunkRows(width, rec.profile.maxBinding, budget);
  const parts = rec.split(hidden, rows);
  if (parts.length === 1) return losses(head(hidden), along, hidden);
  const cut = along.map((x) => rec.split(x, rows));
  const found = parts.map((part, i) =>
    rec.recomputedAll(() =>
      losses(
        head(part),
        cut.map((list) => list[i]!),
        part,
      ),
    ),
  );
  return found[0]!.map((_, k) =>
    concat(
      rec,
      found.map((of) => of[k]!),
      "losses",
    ),
  );
}

/** As `chunkedHeads`, of one loss (N). */
export const chunkedHead = (rec: Recorder, { loss, ...given }: ChunkedHead): Tensor =>
  chunkedHeads(rec, { ...given, losses: (...chunk) => [loss(...chunk)] })[0]!;

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
