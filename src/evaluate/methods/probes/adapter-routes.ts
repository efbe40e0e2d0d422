/**
 * Which experts of a routed adapter (lora-mixer, l2m, mixda) the rows of each group take: shares of first choices, of
 * tokens or of whole texts, as means over the routers. common practice
 */
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { adapterRoutes, type RouterCounts } from "../../../run/tracing/adapter-routes.ts";
import { defineTechnique } from "../../technique.ts";

/** What a group takes: shares by expert, the mean over routers. */
interface GroupShares {
  readonly group: string;
  /** Share of first choices that are the expert of the group's place; 0 where there is no such expert. */
  readonly own: number;
  readonly experts: readonly number[];
  /** The same of each router. */
  readonly routers: Readonly<Record<string, readonly number[]>>;
}

const sharesOf = (counts: Float64Array): number[] => {
  const total = counts.reduce((a, b) => a + b, 0);
  return Array.from(counts, (count) => count / total);
};

/** Shares of every group that has rows, in the order of groups. */
export function groupShares(found: ReadonlyMap<string, RouterCounts>, names: readonly string[]): GroupShares[] {
  return names.map((group, place) => {
    const routers = Object.fromEntries(
      [...found].map(([name, { groups }]) => [name, sharesOf(groups[place]!)] as const),
    );
    const lists = Object.values(routers);
    const experts = lists[0]!.map((_, e) => lists.reduce((sum, shares) => sum + shares[e]!, 0) / lists.length);
    return { group, own: experts[place] ?? 0, experts, routers };
  });
}

/** Shares below this are not shown to people. */
const SHOWN = 5e-4;

export const method = defineTechnique({
  name: "adapter-routes",
  title: "Routes of an adapter",
  about: "which experts of a routed adapter the rows of each group take first",
  cite: "common practice",
  metrics: [],
  options: {
    adapter_routes_batch: { type: "number.integer >= 1", default: 4, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0) throw new UserError("--metric has no effect with --probe adapter-routes", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe adapter-routes", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const names = groups.map(({ name }) => name);
    const rows: { model: string; groups: GroupShares[] }[] = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      const { batches } = await readBatches(groups, loaded, values.adapter_routes_batch);
      if (i === 0) loader.begin(candidates.length * batches.reduce((sum, batch) => sum + batch.rows, 0), "rows");
      const done = (rows: number) => loader.tick(ref, rows);
      const found = await adapterRoutes(model, batches, { ref, groups: groups.length, signal, done });
      rows.push({ model: ref, groups: groupShares(found, names) });
      await loaded.free();
    }
    const table = rows.flatMap(({ model, groups: own }) =>
      own.flatMap(({ group, own: right, experts }) =>
        experts.flatMap((share, e) => (share < SHOWN ? [] : [[model, group, String(e), share, right]])),
      ),
    );
    return { table: [["model", "group", "expert", "share", "own"], ...table], json: { rows } };
  },
});
