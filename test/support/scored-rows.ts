/** Scored rows written by hand. */
import type { MetricContext, ScoredRow } from "../../src/evaluate/contract.ts";

/** A row of mean losses, or with predictions; every field can be given. */
export function scoredRow(
  fields: Partial<Omit<ScoredRow, "nll">> & { readonly nll?: readonly number[] } = {},
): ScoredRow {
  const nll = Float32Array.from(fields.nll ?? Array.from(fields.targets ?? [0], () => 1));
  const targets = fields.targets ?? new Int32Array(nll.length);
  return {
    group: 0,
    argmax: new Uint32Array(targets.length),
    confidence: new Float32Array(targets.length),
    ...fields,
    targets,
    nll,
  };
}

/** A row whose tokens are letters: the right ones, and those predicted. */
export const lettersRow = (right: string, predicted: string, ended = false): ScoredRow =>
  scoredRow({
    targets: Int32Array.from(right, (letter) => letter.charCodeAt(0)),
    argmax: Uint32Array.from(predicted, (letter) => letter.charCodeAt(0)),
    ended,
  });

export const CONTEXT: MetricContext = {
  groups: ["forget", "holdout"],
  forget: "forget",
  holdout: "holdout",
  minK: 0.4,
};
