/**
 * Whether a model serves all groups alike: how far the values of a metric are apart over the groups of --data. The
 * check of coverage sampling in "Scalable and Equitable Math Problem Solving Strategy Prediction", 2023.
 *
 *   range  max a_g - min a_g      std  of the a_g, over the groups      parity  sum_g |a_g - mean a|
 */
import { UserError } from "../../../errors.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { defineTechnique, goldFirst } from "../../technique.ts";

export interface Parity {
  readonly range: number;
  readonly std: number;
  readonly parity: number;
}

/** How far values are apart; NaN where one is. */
export function parityOf(values: readonly number[]): Parity {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const apart = values.map((value) => Math.abs(value - mean));
  return {
    range: Math.max(...values) - Math.min(...values),
    std: Math.sqrt(apart.reduce((sum, x) => sum + x * x, 0) / values.length),
    parity: apart.reduce((a, b) => a + b, 0),
  };
}

export const method = defineTechnique({
  name: "group-parity",
  title: "Parity of groups",
  about: "how far a metric's values are apart over groups of rows",
  cite: "common practice",
  options: {},
  laws: { reproducible: true, companions: true },

  check({ groups }) {
    if (groups.length < 2)
      throw new UserError("--probe group-parity compares groups, and there is one", "give --data name=path for each");
  },

  async run({ metrics, groups, forget, holdout, candidates, gold, loader }) {
    const names = groups.map(({ name }) => name);
    const { models, shown } = goldFirst({ candidates, gold });
    loader.announce((readings) => models.length * readings);
    const found = [];
    for (const { checkpoint } of models) {
      const loaded = await loader.load(checkpoint);
      const values = measured(await loaded.score(groups), metrics, { groups: names, forget, holdout });
      await loaded.free();
      for (const { method: metric } of metrics) {
        const own = values.filter((one) => one.metric.name === metric.name && names.includes(one.group));
        const by = Object.fromEntries(own.map(({ group, value }) => [group, value]));
        found.push({
          model: checkpoint.ref,
          metric: metric.name,
          groups: by,
          ...parityOf(own.map(({ value }) => value)),
        });
      }
    }
    const rows = shown(found);
    const header = ["model", "metric", ...names, "range", "std", "parity"];
    const table = rows.map((row) => [
      ...[row.model, row.metric, ...names.map((name) => row.groups[name])],
      ...[row.range, row.std, row.parity],
    ]);
    return { table: [header, ...table], json: { rows } };
  },
});
