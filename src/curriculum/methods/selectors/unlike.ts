/**
 * Rows without those that are most like an earlier one: how Adapt-inf keeps a growing pool bounded after training on
 * it. Maharana et al. 2024, https://arxiv.org/abs/2410.10636
 *
 *   M_j = max_{i < j, of j's cluster} cos(x_i, x_j)
 *
 * x are mean last hidden states, clustered by direction; clusters share the budget by water-filling, and each keeps its
 * rows of the least M.
 */
import { defineSelector } from "../../contract.ts";
import { directionClusters } from "../../direction-clusters.ts";
import { ranked } from "../../ranked-rows.ts";
import { waterFilled } from "../../water-filling.ts";

const cosine = (a: Float64Array, b: Float64Array): number => {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return dot / (Math.sqrt(aa * bb) || 1);
};

export const method = defineSelector({
  name: "unlike",
  title: "Unlike rows",
  about: "rows without those most like an earlier one",
  cite: "arXiv:2410.10636",
  needs: "states",
  laws: {
    anyRowOrder: "of two rows that are alike the first stays",
    unknownLast: "hidden states are always known",
    nested: "shares of clusters follow the budget",
  },
  options: {
    clusters: {
      type: "0 <= number.integer <= 1000",
      default: 0,
      help: "clusters of hidden states; where their spread bends most if 0",
    },
  },
  trials: [{}, { clusters: 4 }],
  select({ states, budget, seed, values: { clusters } }) {
    const groups = directionClusters(states, clusters, seed);
    const places = waterFilled(
      groups.map(({ length }) => length),
      budget,
    );
    const alike = groups.map((group) =>
      group.map((row, at) =>
        group.slice(0, at).reduce((most, earlier) => Math.max(most, cosine(states[earlier]!, states[row]!)), -1),
      ),
    );
    const kept = groups.map((_, g) => [...ranked(alike[g]!).subarray(0, places[g]!)]);
    const likest = Math.max(...kept.flatMap((list, g) => list.map((at) => alike[g]![at]!)));
    const rows = kept.flatMap((list, g) => list.map((at) => groups[g]![at]!));
    return { rows, notes: { clusters: groups.map(({ length }) => length), likest } };
  },
});
