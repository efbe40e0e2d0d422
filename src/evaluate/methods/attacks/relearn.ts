/**
 * How fast a model learns again what it was made to forget: it is trained on a few of the rows, and measured. Fan et
 * al., ICML 2025, https://arxiv.org/abs/2502.05374
 *
 * Every budget of rows starts from the model as it was given. The area is the mean height of the curve over the
 * budgets, by rows.
 *
 *   R = min((gold after - gold before) / (candidate after - candidate before), 1)
 *
 * with both differences towards more knowledge: 1 where the model regains no more than one that never saw the rows
 * learns. A candidate that regains nothing has 1; one that does while gold does not has 0. OpenUnlearning,
 * https://arxiv.org/abs/2506.12618
 *
 * Memory: the weights twice, gradients, and the optimizer's two states.
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { type Measured, measured } from "../../../run/measuring/measure.ts";
import type { Metric } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { drawRows, finetune } from "../../../run/training/short-training.ts";
import { defineTechnique, type Findings, goldFirst, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  relearn_rows: {
    type: "(number.integer >= 0)[]",
    default: [5, 10, 20],
    help: "budgets: so many rows, drawn by seed; a larger budget holds the smaller ones",
    value: "N",
  },
  relearn_epochs: { type: "number.integer >= 1", default: 1, help: "passes over them", value: "N" },
  relearn_lr: { type: "number > 0", default: 1e-5, help: "rate of AdamW, constant", value: "RATE" },
  relearn_batch: { type: "number.integer >= 1", default: 4, help: "rows of a step", value: "N" },
  relearn_group: {
    type: "string",
    help: "group whose rows are learned; that of --forget-group when left out",
    value: "NAME",
  },
} as const;

/** Mean height of the curve through (x, y), by trapezoids; the only y where there is one. */
export function meanHeight(x: readonly number[], y: readonly number[]): number {
  if (x.length === 1) return y[0]!;
  let area = 0;
  for (let i = 1; i < x.length; i++) area += ((x[i]! - x[i - 1]!) * (y[i]! + y[i - 1]!)) / 2;
  return area / (x.at(-1)! - x[0]!);
}

interface Change {
  readonly before: number;
  readonly after: number;
}

/** R; NaN for a metric that does not say how much is known. */
export function robustness({ knowledge }: Pick<Metric, "knowledge">, candidate: Change, gold: Change): number {
  if (!knowledge) return Number.NaN;
  const sign = knowledge === "more" ? 1 : -1;
  const rise = ({ before, after }: Change) => sign * (after - before);
  if (rise(candidate) <= 0) return 1;
  return Math.min(1, Math.max(0, rise(gold) / rise(candidate)));
}

/** What was measured at every budget. */
interface Curve {
  readonly model: string;
  readonly isGold: boolean;
  readonly points: readonly Measured[][];
}

/** Trains a model on every budget of rows and scores it, each time from the weights that it was loaded with. */
async function scoresByBudget(
  loaded: LoadedModel,
  budgets: readonly number[],
  { values, groups, forget, seed, signal, loader }: TechniqueSetup<typeof OPTIONS>,
): Promise<ScoredRow[][]> {
  const group = groups.find(({ name }) => name === (values.relearn_group ?? forget))!;
  const material = await drawRows(loaded, group, seed);
  if (budgets.at(-1)! > material.rows.length)
    throw new UserError(
      `--relearn-rows ${budgets.at(-1)}: the group ${group.name} has ${material.rows.length} rows to learn`,
      "ask for fewer, or give more rows",
    );
  const weights = new Perturbation(loader.gpu, loaded.model.trainable());
  weights.save();
  const scores: ScoredRow[][] = [];
  for (const rows of budgets) {
    await finetune(loaded, material, {
      rows,
      epochs: values.relearn_epochs,
      lr: values.relearn_lr,
      batchSize: values.relearn_batch,
      seed,
      signal,
      rateFlag: "--relearn-lr",
      done: (n) => loader.tick(loaded.ref, n),
    });
    scores.push(await loaded.score(groups));
    weights.restore();
  }
  await weights.free();
  return scores;
}

/** Areas and R of all curves, as a table and as JSON. */
function findings(curves: readonly Curve[], budgets: Values<typeof OPTIONS>["relearn_rows"]): Findings {
  const reference = curves.find(({ isGold }) => isGold);
  const results = curves.flatMap(({ model, isGold, points }) =>
    points[0]!.map(({ group, metric }, i) => {
      const heights = points.map((point) => point[i]!.value);
      const known = isGold ? undefined : reference?.points.map((point) => point[i]!.value);
      const change = (list: readonly number[], at: number) => ({ before: list[0]!, after: list[at]! });
      return {
        model,
        group,
        metric: metric.name,
        values: heights,
        area: meanHeight(budgets, heights),
        ...(known ? { r: heights.map((_, at) => robustness(metric, change(heights, at), change(known, at))) } : {}),
      };
    }),
  );
  const ofRows = budgets.map((rows) => `${rows} rows`);
  const header = ["model", "group", "metric", ...ofRows, "area", ...(reference ? ["R"] : [])];
  const rows = results.map(({ model, group, metric, values, area, r }) => [
    model,
    group,
    metric,
    ...values,
    area,
    ...(reference ? [r ? r.at(-1) : ""] : []),
  ]);
  return { table: [header, ...rows], json: { budgets, rows: results } };
}

export const method = defineTechnique({
  name: "relearn",
  title: "Relearning",
  about: "trains each model on a few rows of the group forget and measures what comes back",
  cite: "arXiv:2502.05374",
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check({ values, groups, forget }) {
    const flag = values.relearn_group === undefined ? "--forget-group" : "--relearn-group";
    requireGroup(values.relearn_group ?? forget, groups, { asker: "--attack relearn", flag });
  },

  async run(setup) {
    const { values, metrics, groups, forget, holdout, quantize, loader } = setup;
    const budgets = [...new Set([0, ...values.relearn_rows])].sort((a, b) => a - b);
    const names = groups.map(({ name }) => name);
    const { models, shown } = goldFirst(setup);
    const learned = values.relearn_epochs * budgets.reduce((sum, rows) => sum + rows, 0);
    loader.announce((readings) => models.length * (budgets.length * readings + learned));
    let goldRows: readonly ScoredRow[] | undefined;
    const curves: Curve[] = [];
    for (const { checkpoint, isGold } of models) {
      const loaded = await loader.load(checkpoint, { trained: true, bits: isGold ? undefined : quantize });
      const scores = await scoresByBudget(loaded, budgets, setup);
      await loaded.free();
      if (isGold) goldRows = scores[0];
      const context = { groups: names, forget, holdout, ...(goldRows ? { gold: goldRows } : {}) };
      const points = scores.map((rows) => measured(rows, metrics, context));
      curves.push({ model: checkpoint.ref, isGold, points });
    }
    return findings(shown(curves), budgets);
  },
});
