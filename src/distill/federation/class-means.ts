/** What leaves a client, and what comes back: of every tap and class the mean of soft labels, with how many rows. */

export interface ClassMeans {
  /** (taps, classes): a distribution over the classes; undefined where no row has the class. */
  readonly means: readonly (readonly (Float64Array | undefined)[])[];
  /** (classes) */
  readonly counts: readonly number[];
}

/** Means of soft labels (rows, classes) of every tap, by the label of each row. */
export function classMeans(taps: readonly ArrayLike<number>[], labels: readonly number[], classes: number): ClassMeans {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]!++;
  const means = taps.map((soft) => {
    const sums = counts.map((count) => (count > 0 ? new Float64Array(classes) : undefined));
    for (const [row, label] of labels.entries())
      for (let c = 0; c < classes; c++) sums[label]![c]! += soft[row * classes + c]! / counts[label]!;
    return sums;
  });
  return { means, counts };
}

/** The means over clients, each by its number of rows. */
export function aggregate(sent: readonly ClassMeans[]): ClassMeans {
  const [first] = sent;
  if (!first) throw new RangeError("no client sent anything");
  const counts = first.counts.map((_, c) => sent.reduce((sum, client) => sum + client.counts[c]!, 0));
  const means = first.means.map((_, tap) =>
    counts.map((count, c) => {
      if (count === 0) return undefined;
      const sum = new Float64Array(counts.length);
      for (const client of sent) {
        const own = client.means[tap]![c];
        if (own) for (const [i, share] of own.entries()) sum[i]! += (client.counts[c]! / count) * share;
      }
      return sum;
    }),
  );
  return { means, counts };
}

/** How many taps, from the first, take part in a round (from 0): the deepest leave first, and one stays. */
export const activeTaps = (taps: number, round: number, rate: number): number =>
  Math.max(1, taps - Math.floor(round * rate));
