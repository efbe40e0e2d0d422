/**
 * The largest value of a function of a few numbers, without gradients: a simplex of n + 1 points whose worst one is
 * reflected at the others' centre, and which grows, shrinks or moves with what is found there. Nelder and Mead 1965,
 * https://doi.org/10.1093/comjnl/7.4.308, with the usual coefficients 1, 2, 1/2, 1/2.
 */

/**
 * Yields points and takes what they are worth. The simplex begins with `start` and a step along each axis. What it asks
 * for follows from the answers alone, so that a search is continued by giving it the same ones again.
 */
export function* nelderMead(
  start: readonly number[],
  steps: readonly number[],
): Generator<readonly number[], never, number> {
  const first = [start, ...steps.map((step, k) => start.map((x, i) => (i === k ? x + step : x)))];
  let simplex: { readonly point: readonly number[]; readonly value: number }[] = [];
  for (const point of first) simplex.push({ point, value: yield point });
  while (true) {
    simplex = simplex.toSorted((a, b) => b.value - a.value);
    const [best, worst, second] = [simplex[0]!, simplex.at(-1)!, simplex.at(-2)!];
    const others = simplex.slice(0, -1);
    const centre = start.map((_, i) => others.reduce((sum, { point }) => sum + point[i]!, 0) / others.length);
    /** On the line from the worst point through the centre: 1 as far beyond it. */
    const along = (t: number) => centre.map((c, i) => c + t * (c - worst.point[i]!));
    const reflected = { point: along(1), value: yield along(1) };
    if (reflected.value > best.value) {
      const further = { point: along(2), value: yield along(2) };
      simplex = [...others, further.value > reflected.value ? further : reflected];
      continue;
    }
    if (reflected.value > second.value) {
      simplex = [...others, reflected];
      continue;
    }
    const t = reflected.value > worst.value ? 0.5 : -0.5;
    const nearer = { point: along(t), value: yield along(t) };
    if (nearer.value > Math.max(worst.value, t > 0 ? reflected.value : worst.value)) {
      simplex = [...others, nearer];
      continue;
    }
    const shrunk = [best];
    for (const { point } of simplex.slice(1)) {
      const moved = point.map((x, i) => (x + best.point[i]!) / 2);
      shrunk.push({ point: moved, value: yield moved });
    }
    simplex = shrunk;
  }
}
