/**
 * What merging did for those that were merged: the value of a metric of the aggregate, which is the first model, minus
 * the mean of the others', over all rows and for each group. Sun et al., "Feature Distribution Matching for Federated
 * Domain Generalization", ACML 2022, https://arxiv.org/abs/2203.11635
 */
import { UserError } from "../../../errors.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "group-effect",
  title: "Effect of aggregation",
  about: "how much better the first model, an aggregate, does than the others, its clients, on average",
  cite: "arXiv:2203.11635",
  options: {},
  laws: { reproducible: true, companions: "the first model is compared with those beside it" },

  check({ models, gold }) {
    if (models < 2)
      throw new UserError(
        "--probe group-effect compares an aggregate with its clients, and there is one model",
        "name the aggregate and then the clients: bun run evaluate merged/ a/ b/ --probe group-effect --data FILE",
      );
    if (gold) throw new UserError("--probe group-effect has no use for a --gold model", "leave --gold out");
  },

  async run({ metrics, groups, forget, holdout, candidates, loader }) {
    const names = groups.map(({ name }) => name);
    loader.announce((readings) => candidates.length * readings);
    const found = [];
    for (const checkpoint of candidates) {
      const loaded = await loader.load(checkpoint);
      found.push({
        model: checkpoint.ref,
        values: measured(await loaded.score(groups), metrics, { groups: names, forget, holdout }),
      });
      await loaded.free();
    }
    const [aggregate, ...clients] = found;
    const rows = aggregate!.values.map(({ metric, group, value }) => {
      const theirs = clients.map(({ values }) => {
        const own = values.find((other) => other.metric.name === metric.name && other.group === group);
        return own!.value;
      });
      const mean = theirs.reduce((a, b) => a + b, 0) / theirs.length;
      return { model: aggregate!.model, metric: metric.name, group, value, clients: mean, effect: value - mean };
    });
    const header = ["model", "metric", "group", "value", "clients", "effect"];
    const table = rows.map((row) => [row.model, row.metric, row.group, row.value, row.clients, row.effect]);
    return { table: [header, ...table], json: { rows } };
  },
});
