/**
 * Shares of groups when `ratio` times as many tasks are drawn evenly as are kept, those with the largest scores: groups
 * in order of their score get ratio / K each until the shares sum to 1; groups of equal score share alike.
 */
export function worstShares(scores: readonly number[], ratio: number): number[] {
  const each = ratio / scores.length;
  const levels = [...new Set(scores)].sort((a, b) => b - a);
  const shares = scores.map(() => 0);
  let left = 1;
  for (const level of levels) {
    const alike = scores.flatMap((score, i) => (score === level ? [i] : []));
    const taken = Math.min(left, each * alike.length);
    for (const i of alike) shares[i] = taken / alike.length;
    left -= taken;
  }
  return shares;
}
