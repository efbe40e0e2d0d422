/**
 * A coreset by facility location: the rows S that maximise F(S) = sum_i max_{j in S} s_ij, s_ij = C - |x_i - x_j|,
 * chosen greedily. Mirzasoleiman et al. 2020 (CRAIG), https://arxiv.org/abs/1906.01827. Of a classifier x is the
 * gradient of a row's loss to the logits, softmax - onehot, and each class gets an equal part of the places, what small
 * ones lack going to the others (Liu and Mirzasoleiman 2022, https://arxiv.org/abs/2210.08363). Of text it is the mean
 * hidden state of a row, not a gradient. A row weighs as many rows as have it as their nearest, 1 at least, scaled to
 * mean 1.
 *
 * Gains only shrink as S grows, so that a stale gain is a bound, and only the largest is computed again (Minoux 1978).
 * Time at least n^2.
 */
import { defineSelector } from "../../contract.ts";
import { distance } from "../../state-distance.ts";
import { waterFilled } from "../../water-filling.ts";

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
  weighs: true,
  select({ states, labels, budget }) {
    const classes = [...new Set(labels)].sort((a, b) => a - b);
    const groups =
      classes.length === 0
        ? [[...states.keys()]]
        : classes.map((label) => [...labels.keys()].filter((row) => labels[row] === label));
    const places = waterFilled(
      groups.map(({ length }) => length),
      budget,
    );
    const found = groups.map((group, g) => {
      const own = group.map((row) => states[row]!);
      const { rows, weights } = facilityLocation(own, places[g]!);
      return { rows: rows.map((at) => group[at]!), weights: weights.map((weight) => Math.max(1, weight)) };
    });
    const rows = found.flatMap((one) => one.rows);
    const counts = found.flatMap((one) => one.weights);
    const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
    const weights = counts.map((count) => count / mean);
    return { rows, weights, notes: { weights: counts } };
  },
});
