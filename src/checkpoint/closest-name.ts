/** The name most like another, for messages about tensors. */
import { editDistance } from "../method/nearest.ts";

/** The one most like `name` by edit distance; undefined when less than half of it agrees. Looks at the first 5,000. */
export function closestName(name: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = name.length / 2;
  let seen = 0;
  for (const candidate of names) {
    if (++seen > 5000) break;
    if (Math.abs(candidate.length - name.length) > least) continue;
    const distance = editDistance(name, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}
