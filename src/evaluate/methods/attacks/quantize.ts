/**
 * Whether coarser weights bring back what unlearning hid: the metrics before and after rounding. Zhang et al. 2024,
 * https://arxiv.org/abs/2410.16454
 *
 *   Q = min(before / after, 1)
 *
 * for metrics of which more says that more is known: 1 where nothing comes back. OpenUnlearning,
 * https://arxiv.org/abs/2506.12618
 */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import { checkMethodName, loadMethod } from "../../../method/registry.ts";
import { measured } from "../../../run/measuring/measure.ts";
import type { Metric } from "../../../run/measuring/metric.ts";
import type { Rounding } from "../../../run/measuring/quantized-checkpoint.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { defineTechnique, goldFirst } from "../../technique.ts";

const BITS = 4;
const ORIGIN = "--quantize-format";

/** Q; NaN for a metric that is not a quantity of knowledge. */
export function kept({ knowledge }: Pick<Metric, "knowledge">, before: number, after: number): number {
  if (knowledge !== "more") return Number.NaN;
  return after <= before ? 1 : before / after;
}

export const method = defineTechnique({
  name: "quantize",
  title: "Quantisation",
  about: "metrics before and after the models' matrices are rounded to few bits",
  cite: "arXiv:2410.16454",
  options: {
    quantize_format: {
      type: "string",
      help: "number format to round to in the place of 4 bits with a scale per row, as int8, nf4 or mxfp4",
      value: "NAME",
    },
  },
  laws: { reproducible: true, companions: true },

  check({ values: { quantize_format: name } }) {
    if (name !== undefined) checkMethodName("number-format", name, ORIGIN);
  },

  async run({ values, metrics, groups, forget, holdout, candidates, gold, quantize, loader }) {
    const { quantize_format: name } = values;
    if (name !== undefined && quantize !== undefined)
      throw new UserError(`${ORIGIN} says how to round, and so does --quantize`, "leave one of them out");
    const to = name === undefined ? (quantize ?? BITS) : await loadMethod("number-format", name, ORIGIN);
    const said = typeof to === "number" ? `${to} bits` : to.name;
    const names = groups.map(({ name }) => name);
    const score = async (checkpoint: Checkpoint, bits?: Rounding) => {
      const loaded = await loader.load(checkpoint, { bits });
      const scored = await loaded.score(groups);
      await loaded.free();
      return scored;
    };
    const { models, shown } = goldFirst({ candidates, gold });
    loader.announce((readings) => 2 * models.length * readings);
    let goldRows: readonly ScoredRow[] | undefined;
    const found = [];
    for (const { checkpoint, isGold } of models) {
      const plain = await score(checkpoint);
      if (isGold) goldRows = plain;
      const context = { groups: names, forget, holdout, ...(goldRows ? { gold: goldRows } : {}) };
      const before = measured(plain, metrics, context);
      const after = measured(await score(checkpoint, to), metrics, context);
      found.push({ model: checkpoint.ref, before, after });
    }
    const results = shown(found).flatMap(({ model, before, after }) =>
      before.map(({ group, metric, value }, i) => ({
        model,
        group,
        metric: metric.name,
        before: value,
        after: after[i]!.value,
        q: kept(metric, value, after[i]!.value),
      })),
    );
    const header = ["model", "group", "metric", "before", said, "Q"];
    const rows = results.map(({ model, group, metric, before, after, q }) => {
      return [model, group, metric, before, after, q];
    });
    return {
      table: [header, ...rows],
      json: { ...(typeof to === "number" ? { bits: to } : { format: to.name }), rows: results },
    };
  },
});
