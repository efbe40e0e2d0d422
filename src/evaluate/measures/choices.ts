/** Which of several answers is likeliest. */

/** The place of the least loss, divided by the length where lengths are given; of equal ones the first. */
export function likeliest(losses: readonly number[], lengths?: readonly number[]): number {
  const of = (i: number) => losses[i]! / (lengths?.[i] ?? 1);
  return losses.reduce((best, _, i) => (of(i) < of(best) ? i : best), 0);
}
