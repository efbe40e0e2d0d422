/**
 * Some rows of every cluster, so that rare kinds are chosen too; clusters by DP-means. Kulis and Jordan 2012,
 * https://arxiv.org/abs/1111.0352.
 *
 * A row whose squared distance to every centre is above lambda opens a cluster; centres move to their means, until
 * nothing changes. This lowers sum of squares + lambda * clusters. Where it is not given, lambda is doubled until there
 * are at most budget / per_cluster clusters. Rows come one from every cluster in turn, by lot within it.
 */
import { Random } from "../../../data/random.ts";
import { defineSelector } from "../../contract.ts";
import { distance } from "../../state-distance.ts";

/** Cluster of every row, numbered from 0 as they opened. */
export function dpMeans(states: readonly Float64Array[], lambda: number, most = 100): number[] {
  const meanOf = (rows: readonly Float64Array[]) =>
    Float64Array.from(states[0]!, (_, d) => rows.reduce((sum, row) => sum + row[d]!, 0) / rows.length);
  let centres: Float64Array[] = [meanOf(states)];
  let of: number[] = [];
  for (let pass = 0; pass < most; pass++) {
    const now = states.map((state) => {
      const far = centres.map((centre) => distance(state, centre) ** 2);
      const nearest = far.indexOf(Math.min(...far));
      if (far[nearest]! <= lambda) return nearest;
      centres.push(state);
      return centres.length - 1;
    });
    const used = [...new Set(now)].sort((a, b) => a - b);
    const numbered = now.map((cluster) => used.indexOf(cluster));
    const same = numbered.length === of.length && numbered.every((cluster, i) => cluster === of[i]);
    of = numbered;
    if (same) break;
    centres = used.map((_, cluster) => meanOf(states.filter((_, i) => of[i] === cluster)));
  }
  return of;
}

export const method = defineSelector({
  name: "dp-means",
  title: "Cluster coverage",
  about: "some rows of every cluster of hidden states",
  cite: "arXiv:1111.0352",
  options: {
    per_cluster: { type: "number.integer >= 1", default: 4, help: "rows of a cluster" },
    lambda: {
      type: "number >= 0",
      default: 0,
      help: "squared distance above which a row opens a cluster; by doubling if 0, until as many are left as have room",
    },
  },
  needs: "states",
  laws: {
    anyRowOrder: "clusters open in the order of the rows",
    unknownLast: "hidden states are always known",
    nested: "the number of clusters follows the budget",
  },
  trials: [{}, { per_cluster: 1 }, { lambda: 2 }],
  select({ states, budget, seed, values: { per_cluster, lambda: given } }) {
    const wanted = Math.max(1, Math.floor(budget / per_cluster));
    const spread = states.reduce((most, state) => Math.max(most, distance(state, states[0]!) ** 2), 0);
    let lambda = given > 0 ? given : spread / 256;
    let of = dpMeans(states, lambda);
    while (given === 0 && Math.max(...of) + 1 > wanted) {
      lambda *= 2;
      of = dpMeans(states, lambda);
    }
    const clusters = Array.from({ length: Math.max(...of) + 1 }, (_, cluster) =>
      new Random(seed, "dp-means", cluster).shuffled(of.flatMap((its, row) => (its === cluster ? [row] : []))),
    );
    const rows: number[] = [];
    for (let place = 0; rows.length < Math.min(budget, states.length); place++)
      for (const members of clusters) {
        const row = members[place];
        if (row !== undefined && rows.length < budget) rows.push(row);
      }
    return { rows, notes: { lambda, clusters: clusters.map((members) => members.length) } };
  },
});
