/**
 * Which clusters the rows of each group take in an `mlp` with `cluster_route`. Purity is the share of all rows that are
 * of the most frequent group of their cluster: 1 where clusters found the groups by themselves. Where one cluster has
 * all rows the routing has collapsed, and the model is a shared one. Li et al. 2022, https://arxiv.org/abs/2211.12105
 */
import { batchKey, stackExamples } from "../../../data/batch.ts";
import { inBatches } from "../../../data/dataset.ts";
import { loadExamples } from "../../../data/examples.ts";
import type { GroupReference } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import { CLUSTER_ROUTE } from "../../../model/blocks/cluster-route.ts";
import { fillInputs, recordInputs } from "../../../run/batch-programs.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { Programs } from "../../../run/programs.ts";
import { scale } from "../../../tensor/ops/elementwise.ts";
import { refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

/** Rows by group and cluster. */
async function countsOf(
  { model, examples: reader }: LoadedModel,
  groups: readonly GroupReference[],
  { batch: size, signal }: { batch: number; signal: AbortSignal },
): Promise<number[][]> {
  const examples = await loadExamples(groups, { ...reader, takesNumbers: true });
  const programs = new Programs<number>(model.gpu);
  let counts: number[][] = groups.map(() => []);
  try {
    for await (const part of inBatches(examples, size)) {
      signal.throwIfAborted();
      const batch = stackExamples(part);
      const { program, recorded: clusters } = await programs.get(batchKey(batch), (rec) => {
        const routes = model.record(rec, recordInputs(rec, batch)).notes.get("routes")!;
        rec.output("routes", scale(rec, routes, 1));
        return routes.shape.at(-1) ?? 0;
      });
      if (counts[0]!.length === 0) counts = groups.map(() => Array<number>(clusters).fill(0));
      fillInputs(program, batch);
      program.run();
      const routes = await program.read("routes");
      for (const [row, { group }] of part.entries()) {
        const cluster = routes.subarray(row * clusters, (row + 1) * clusters).indexOf(1);
        counts[group]![cluster]!++;
      }
    }
  } finally {
    programs.free();
  }
  return counts;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Rows of the most frequent group of each cluster, over all rows. */
export const purityOf = (counts: readonly (readonly number[])[]): number =>
  sum((counts[0] ?? []).map((_, k) => Math.max(...counts.map((own) => own[k]!)))) / sum(counts.map(sum));

export const method = defineTechnique({
  name: "cluster-routes",
  title: "Routes to clusters",
  about: "of an mlp with cluster_route: which clusters the rows of each group take, and whether routing has collapsed",
  cite: "arXiv:2211.12105",
  metrics: [],
  task: "classifier",
  options: {
    cluster_routes_batch: { type: "number.integer >= 1", default: 64, help: "rows at once", value: "N" },
  },
  laws: { reproducible: true, companions: true },
  check: (info) => refuseMeasures("cluster-routes", info),

  async run({ values, candidates, groups, quantize: bits, loader, signal }) {
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits });
      const { ref, model } = loaded;
      try {
        if (model.json[CLUSTER_ROUTE] === undefined)
          throw new UserError(
            `${ref} has no clusters of inputs`,
            `give an mlp with "${CLUSTER_ROUTE}": {"clusters": 4} in its config.json`,
          );
        const counts = await countsOf(loaded, groups, { batch: values.cluster_routes_batch, signal });
        const all = sum(counts.map(sum));
        if (i === 0) loader.begin(candidates.length * all, "rows");
        loader.tick(ref, all);
        const used = (counts[0] ?? []).filter((_, k) => counts.some((own) => own[k]! > 0)).length;
        rows.push({
          ...{ model: ref, purity: purityOf(counts), used, collapsed: used < 2 },
          groups: groups.map(({ name }, g) => ({ group: name, rows: sum(counts[g]!), clusters: counts[g]! })),
        });
      } finally {
        await loaded.free();
      }
    }
    const header = ["model", "group", "rows by cluster", "purity", "clusters used", ""];
    const table = rows.flatMap(({ model, purity, used, collapsed, groups: own }) => [
      ...own.map(({ group, clusters }) => [model, group, clusters.join(" "), undefined, undefined, ""]),
      [model, "all", "", purity, `${used}`, collapsed ? "collapsed: one cluster has all rows" : ""],
    ]);
    return { table: [header, ...table], json: { rows } };
  },
});
