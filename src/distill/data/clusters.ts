/**
 * Rows that stand for their class: members nearest to the centres of k-means, by Lloyd's steps from spread-out rows.
 */
import { Random } from "../../data/random.ts";

const ROUNDS = 20;

const apart = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0);

/** Of points the nearest to each of `count` centres, all different. There are at least `count` points. */
export function representatives(points: readonly Float64Array[], count: number, ...key: (string | number)[]): number[] {
  const random = new Random(...key);
  // The first centres as k-means++ draws them: far from those before.
  const centres = [points[random.below(points.length)]!.slice()];
  while (centres.length < count) {
    const far = points.map((point) => Math.min(...centres.map((centre) => apart(point, centre))));
    centres.push(points[far.some((d) => d > 0) ? random.weighted(far) : centres.length]!.slice());
  }
  for (let round = 0; round < ROUNDS; round++) {
    const own = points.map((point) => nearest(point, centres));
    for (const [c, centre] of centres.entries()) {
      const members = points.filter((_, i) => own[i] === c);
      if (members.length > 0)
        for (let i = 0; i < centre.length; i++)
          centre[i] = members.reduce((sum, member) => sum + member[i]!, 0) / members.length;
    }
  }
  const taken = new Set<number>();
  for (const centre of centres) {
    const order = [...points.keys()].sort((a, b) => apart(points[a]!, centre) - apart(points[b]!, centre));
    taken.add(order.find((i) => !taken.has(i))!);
  }
  return [...taken];
}

const nearest = (point: Float64Array, centres: readonly Float64Array[]): number =>
  centres.reduce((best, centre, c) => (apart(point, centre) < apart(point, centres[best]!) ? c : best), 0);
