/** What several classifiers say of a row together: the class that most of them give. */

export interface Vote {
  readonly label: number;
  /** Share of the classifiers that give it. */
  readonly share: number;
}

/**
 * The vote on a row of which classifiers say probabilities, (classes) each. Of classes with as many votes that with the
 * larger sum of probabilities wins, and then the lower one.
 */
export function voteOn(said: readonly (readonly number[] | Float32Array)[]): Vote {
  const classes = said[0]!.length;
  const [votes, sums] = [new Array<number>(classes).fill(0), new Array<number>(classes).fill(0)];
  for (const shares of said) {
    let best = 0;
    for (let label = 0; label < classes; label++) {
      sums[label]! += shares[label]!;
      if (shares[label]! > shares[best]!) best = label;
    }
    votes[best]!++;
  }
  let label = 0;
  for (let other = 1; other < classes; other++)
    if (votes[other]! > votes[label]! || (votes[other] === votes[label] && sums[other]! > sums[label]!)) label = other;
  return { label, share: votes[label]! / said.length };
}
