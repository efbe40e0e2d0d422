/** Correlation of ranks, equal values at the mean of their ranks. Spearman 1904, https://doi.org/10.2307/1412159 */

/** The place of every value in order, from 0; equal values share the mean of their places. */
export function meanRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) ranks[order[i]!] = (from + to - 1) / 2;
    from = to;
  }
  return ranks;
}

/** From -1 to 1; NaN of fewer than two values, or where all of one side are equal. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [meanRanks(a), meanRanks(b)];
  const middle = (a.length - 1) / 2;
  let [both, ofA, ofB] = [0, 0, 0];
  for (const [i, rank] of x.entries()) {
    both += (rank - middle) * (y[i]! - middle);
    ofA += (rank - middle) ** 2;
    ofB += (y[i]! - middle) ** 2;
  }
  return both / Math.sqrt(ofA * ofB);
}
