/** Scored rows written by hand. */

import { bindDefaults } from "../../src/method/bind.ts";
import type { Metric, MetricContext } from "../../src/run/measuring/metric.ts";
import type { ScoredRow } from "../../src/run/scoring/scored-row.ts";

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

export const CONTEXT: MetricContext = { groups: ["forget", "holdout"], forget: "forget", holdout: "holdout" };

/** The value of a metric, with options at their defaults but for those given. */
export const metricValue = (
  metric: Metric,
  rows: readonly ScoredRow[],
  context: MetricContext = CONTEXT,
  values: Readonly<Record<string, unknown>> = {},
): number => metric.value(rows, { ...context, values: bindDefaults(metric, values).values });

/** The further numbers of a metric, likewise. */
export const metricDetails = (
  metric: Metric,
  rows: readonly ScoredRow[],
  context: MetricContext = CONTEXT,
): Record<string, number> => metric.details!(rows, { ...context, values: bindDefaults(metric).values });

/** A row whose right and wrong answers have these probabilities. */
export const truthRow = (right: number, wrong: readonly number[], group = 0): ScoredRow =>
  scoredRow({ group, truth: { right: [-Math.log(right)], wrong: wrong.map((p) => -Math.log(p)) } });
