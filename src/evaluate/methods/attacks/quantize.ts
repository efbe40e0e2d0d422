/**
 * Whether coarser weights bring back what unlearning hid: the metrics before and after rounding. Zhang et al. 2024,
 * https://arxiv.org/abs/2410.16454
 *
 *   Q = min(before / after, 1)
 *
 * for metrics of which more says that more is known: 1 where nothing comes back. OpenUnlearning, https://arxiv.org/abs/2506.12618
 */

import type { Metric, ScoredRow } from "../../contract.ts";
import { type Measured, measured } from "../../loaded-model.ts";
import { cell, defineTechnique } from "../../technique.ts";

const BITS = 4;

/** NaN for a metric that is not a quantity of knowledge. */
export function kept({ knowledge }: Pick<Metric, "knowledge">, before: number, after: number): number {
  if (knowledge !== "more") return Number.NaN;
  return after <= before ? 1 : before / after;
}

export const method = defineTechnique({
  name: "quantize",
  title: "Quantisation",
  about:
    "metrics before and after the models' matrices, gold's too, are rounded to the bits of --quantize (4 when left out)",
  cite: "arXiv:2410.16454",
  options: {},

  async run({ metrics, groups, forget, holdout, minK, candidates, gold, quantize = BITS, lab }) {
    const context = { groups: groups.map(({ name }) => name), forget, holdout, minK };
    let goldRows: readonly ScoredRow[] | undefined;
    const score = async (checkpoint: (typeof candidates)[number], bits?: number) => {
      const specimen = await lab.load(checkpoint, { bits });
      const scored = await specimen.score(groups);
      await specimen.free();
      return scored;
    };
    const found: { model: string; before: Measured[]; after: Measured[] }[] = [];
    for (const checkpoint of [...(gold ? [gold] : []), ...candidates]) {
      const plain = await score(checkpoint);
      if (gold) goldRows ??= plain;
      const known = { ...context, ...(goldRows ? { gold: goldRows } : {}) };
      const before = measured(plain, metrics, known);
      const after = measured(await score(checkpoint, quantize), metrics, known);
      found.push({ model: checkpoint.ref, before, after });
    }
    // The candidates first, as they were given.
    const ordered = gold ? [...found.slice(1), found[0]!] : found;
    const results = ordered.flatMap(({ model, before, after }) =>
      before.map(({ group, metric, value }, i) => ({
        model,
        group,
        metric: metric.name,
        before: value,
        after: after[i]!.value,
        q: kept(metric, value, after[i]!.value),
      })),
    );
    const header = ["model", "group", "metric", "before", `${quantize} bits`, "Q"];
    const rows = results.map(({ model, group, metric, before, after, q }) => {
      return [model, group, metric, cell(before), cell(after), cell(q)];
    });
    return { table: [header, ...rows], json: { bits: quantize, rows: results } };
  },
});
