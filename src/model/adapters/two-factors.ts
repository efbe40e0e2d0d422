/**
 * Two numbers whose product is `size`: `factor` and the rest where that divides it, else the divisors nearest to its
 * root of which the first is at most `factor`; -1: any. In LyCORIS's order: the smaller first, unless `factor` says
 * otherwise.
 */
export function twoFactors(size: number, factor: number): readonly [number, number] {
  if (factor > 0 && size % factor === 0) return [factor, size / factor];
  const most = factor === -1 ? size : factor;
  let chosen = 1;
  for (let d = 2; d <= most && chosen * chosen < size; d++) if (size % d === 0) chosen = d;
  const other = size / chosen;
  return [Math.min(chosen, other), Math.max(chosen, other)];
}
