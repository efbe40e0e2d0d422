/**
 * Linear mode connectivity: the loss on the straight line between two sets of weights, against the mean of the ends.
 * Yang et al., Taxonomizing local versus global structure in neural network loss landscapes, 2021,
 * https://arxiv.org/abs/2107.11228
 *
 *   LMC = (L(w1) + L(w2)) / 2 - L(w(t*))      w(t) = (1 - t) w1 + t w2, t* where the difference is largest
 *
 * Below 0: a barrier lies between the two. Near 0: they are connected. Above: the line is better than its ends.
 */

export interface Connectivity {
  readonly lmc: number;
  /** t*; the first of equal ones. */
  readonly at: number;
}

/** Of the losses at evenly spread points of the line, both ends among them. */
export function connectivityOf(losses: readonly number[]): Connectivity {
  const [first = Number.NaN, last = first] = [losses[0], losses.at(-1)];
  const ends = (first + last) / 2;
  let [lmc, at] = [0, 0];
  for (const [i, loss] of losses.entries()) {
    const apart = ends - loss;
    if (Math.abs(apart) > Math.abs(lmc)) [lmc, at] = [apart, i / (losses.length - 1)];
  }
  return { lmc: Number.isNaN(ends) ? Number.NaN : lmc, at };
}
