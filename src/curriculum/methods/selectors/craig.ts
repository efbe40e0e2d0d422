/**
 * A coreset by facility location: the rows S that maximise F(S) = sum_i max_{j in S} s_ij, s_ij = C - |x_i - x_j|,
 * chosen greedily. Mirzasoleiman et al. 2020 (CRAIG), https://arxiv.org/abs/1906.01827; here x is the mean hidden state
 * of a row, not a gradient.
 *
 * Gains only shrink as S grows, so that a stale gain is a bound, and only the largest is computed again (Minoux 1978).
 * Time at least n^2.
 */
import { defineSelector } from "../../contract.ts";
import { distance } from "../../state-distance.ts";

/** Rows in the order of the greedy choice, the gain of each, and of how many rows each is the nearest in the end. */
export function facilityLocation(states: readonly Float64Array[], budget: number) {
  const n = states.length;
  const apart = states.map((a, i) => Float64Array.from(states.slice(0, i), (b) => distance(a, b)));
  const between = (i: number, j: number) => (i === j ? 0 : i > j ? apart[i]![j]! : apart[j]![i]!);
  const most = apart.reduce((all, row) => row.reduce((a, b) => Math.max(a, b), all), 0);
  const served = new Float64Array(n); // similarity of every row to the nearest that is chosen
  const gainOf = (j: number) => {
    let gain = 0;
    for (let i = 0; i < n; i++) gain += Math.max(0, most - between(i, j) - served[i]!);
    return gain;
  };
  const rows: number[] = [];
  const gains: number[] = [];
  const bounds = Array.from({ length: n }, (_, j) => gainOf(j));
  const open = new Set(bounds.keys());
  while (rows.length < Math.min(budget, n)) {
    let best = -1;
    for (;;) {
      best = -1;
      for (const j of open) if (best < 0 || bounds[j]! > bounds[best]!) best = j;
      const bound = bounds[best]!;
      bounds[best] = gainOf(best);
      if (bounds[best]! >= bound) break;
      if ([...open].every((j) => j === best || bounds[j]! < bounds[best]!)) break;
    }
    open.delete(best);
    rows.push(best);
    gains.push(bounds[best]!);
    for (let i = 0; i < n; i++) served[i] = Math.max(served[i]!, most - between(i, best));
  }
  const weights = rows.map(() => 0);
  for (let i = 0; i < n; i++) {
    const nearest = rows.reduce((a, j, at) => (between(i, j) < between(i, rows[a]!) ? at : a), 0);
    weights[nearest]!++;
  }
  return { rows, gains, weights };
}

export const method = defineSelector({
  name: "craig",
  title: "CRAIG",
  about: "rows that stand for all others: facility location",
  cite: "arXiv:1906.01827",
  needs: "states",
  laws: {
    anyRowOrder: "of two rows that stand for each other equally well the first is chosen",
    unknownLast: "hidden states are always known",
    nested: true,
  },
  options: {},
  select({ states, budget }) {
    const { rows, weights } = facilityLocation(states, budget);
    return { rows, notes: { weights } };
  },
});
