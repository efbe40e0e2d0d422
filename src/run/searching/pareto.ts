/**
 * Points with several scores, all to be made small: which beat which, and how much of the space they cover.
 *
 * Deb, Pratap, Agarwal and Meyarivan, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, 2002,
 * https://doi.org/10.1109/4235.996017; hypervolume by slices: Zitzler and Thiele 1998.
 */

/** True if `a` is nowhere above `b` and somewhere below it. NaN is worse than any number. */
export function dominates(a: readonly number[], b: readonly number[]): boolean {
  let better = false;
  for (const [i, given] of a.entries()) {
    const [x, y] = [worstIfNaN(given), worstIfNaN(b[i]!)];
    if (x > y) return false;
    if (x < y) better = true;
  }
  return better;
}

const worstIfNaN = (x: number): number => (Number.isNaN(x) ? Number.POSITIVE_INFINITY : x);

/**
 * Indexes of `points` by front: the first front is dominated by no point, the next only by those before it. Within a
 * front in the order given.
 */
export function fronts(points: readonly (readonly number[])[]): number[][] {
  const beats: number[][] = points.map(() => []);
  const above = points.map(() => 0); // how many points dominate this one
  for (const [i, a] of points.entries()) {
    for (const [j, b] of points.entries()) {
      if (!dominates(a, b)) continue;
      beats[i]!.push(j);
      above[j]!++;
    }
  }
  const result: number[][] = [];
  for (let front = [...points.keys()].filter((i) => above[i] === 0); front.length > 0; ) {
    result.push(front);
    const next: number[] = [];
    for (const j of front.flatMap((i) => beats[i]!)) {
      above[j]!--;
      if (above[j] === 0) next.push(j);
    }
    front = next.sort((i, j) => i - j);
  }
  return result;
}

/**
 * The crowding distance of each point of one front: the sum over scores of the gap between its neighbours, in parts of
 * the front's range; infinite at the ends. A score that is infinite or the same everywhere adds nothing but its ends.
 */
export function crowding(front: readonly (readonly number[])[]): number[] {
  const distance = front.map(() => 0);
  const count = front[0]?.length ?? 0;
  for (let score = 0; score < count; score++) {
    const value = (i: number): number => worstIfNaN(front[i]![score]!);
    const order = [...front.keys()].sort((i, j) => (value(i) < value(j) ? -1 : value(i) > value(j) ? 1 : i - j));
    const [first, last] = [order[0]!, order.at(-1)!];
    const range = value(last) - value(first);
    distance[first] = Number.POSITIVE_INFINITY;
    distance[last] = Number.POSITIVE_INFINITY;
    if (!(range > 0 && range < Number.POSITIVE_INFINITY)) continue;
    for (let at = 1; at < order.length - 1; at++) {
      distance[order[at]!]! += (value(order[at + 1]!) - value(order[at - 1]!)) / range;
    }
  }
  return distance;
}

/** The indexes of the `count` best points: front by front, and of the last front the least crowded; ascending. */
export function survivors(points: readonly (readonly number[])[], count: number): number[] {
  const kept: number[] = [];
  for (const front of fronts(points)) {
    const room = count - kept.length;
    if (room <= 0) break;
    if (front.length <= room) {
      kept.push(...front);
      continue;
    }
    const distance = crowding(front.map((i) => points[i]!));
    const order = [...front.keys()].sort((i, j) =>
      distance[i]! > distance[j]! ? -1 : distance[i]! < distance[j]! ? 1 : i - j,
    );
    kept.push(...order.slice(0, room).map((at) => front[at]!));
  }
  return kept.sort((i, j) => i - j);
}

/**
 * The volume that points dominate below `reference`, of any number of scores (exponential in their number; meant for
 * two to four). Points that are not below the reference in every score add nothing.
 */
export function hypervolume(points: readonly (readonly number[])[], reference: readonly number[]): number {
  const inside = points.filter((point) => point.every((x, i) => x < reference[i]!));
  return volume(inside, reference);
}

/** Slices along the last score: between two values of it, the points below form a volume of one score less. */
function volume(points: readonly (readonly number[])[], reference: readonly number[]): number {
  if (points.length === 0) return 0;
  const last = reference.length - 1;
  if (last === 0) return reference[0]! - Math.min(...points.map(([x]) => x!));
  const order = [...points].sort((a, b) => a[last]! - b[last]!);
  let total = 0;
  for (const [at, point] of order.entries()) {
    const height = (order[at + 1]?.[last] ?? reference[last]!) - point[last]!;
    if (height <= 0) continue;
    total +=
      height *
      volume(
        order.slice(0, at + 1).map((p) => p.slice(0, last)),
        reference.slice(0, last),
      );
  }
  return total;
}
