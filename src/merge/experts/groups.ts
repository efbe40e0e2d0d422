/**
 * Which experts of a layer are merged: the most used lead, and every other joins the leader whose router logits are
 * most like its own. Li et al., Merge, Then Compress, ICLR 2024, https://arxiv.org/abs/2310.01334, section 3.2.
 *
 * Departs from it in two points: every layer keeps as many groups, since a config counts the experts of all layers
 * once; and an expert whose logits are exactly another's does not lead beside it: doubled experts find together.
 */
import { Random } from "../../data/random.ts";

/** What experts are compared by. */
export type Similarity = "router-logits" | "router-rows" | "random";

export interface Group {
  readonly leader: number;
  /** Ascending, the leader among them. */
  readonly members: readonly number[];
}

export interface GroupingInput {
  /** Share of tokens of each expert. */
  readonly usage: Float64Array;
  /** (E, E): products of what they are compared by, summed. */
  readonly products: Float64Array;
  readonly groups: number;
}

/** (cosine + 1) / 2 of two experts. */
function similarity(products: Float64Array, experts: number, a: number, b: number): number {
  const norm = Math.sqrt(products[a * experts + a]! * products[b * experts + b]!);
  return norm > 0 ? (products[a * experts + b]! / norm + 1) / 2 : 0.5;
}

/** From here on two experts are the same to the router. */
const SAME = 1 - 1e-9;

/** The most used experts, ascending. One that is the same to the router as another leads after all others. */
function leadersOf({ usage, products, groups }: GroupingInput): number[] {
  const order = Array.from(usage, (_, e) => e).sort((a, b) => usage[b]! - usage[a]! || a - b);
  const own: number[] = [];
  const twins: number[] = [];
  for (const e of order) {
    const isTwin = own.some((leader) => similarity(products, usage.length, e, leader) > SAME);
    (isTwin ? twins : own).push(e);
  }
  return [...own, ...twins].slice(0, groups).sort((a, b) => a - b);
}

/** Groups in the order of their leaders. Of equally used or alike ones the first counts. */
export function groupExperts({ usage, products, groups }: GroupingInput): Group[] {
  const experts = usage.length;
  const leaders = leadersOf({ usage, products, groups });
  const members = new Map<number, number[]>(leaders.map((leader) => [leader, []]));
  for (let e = 0; e < experts; e++) {
    const own = members.has(e)
      ? e
      : leaders.reduce((best, leader) =>
          similarity(products, experts, e, leader) > similarity(products, experts, e, best) ? leader : best,
        );
    members.get(own)!.push(e);
  }
  return leaders.map((leader) => ({ leader, members: members.get(leader)! }));
}

/** Groups of nearly equal size by chance, to compare with. The most used of each leads. */
export function randomGroups(usage: Float64Array, groups: number, key: readonly (string | number)[]): Group[] {
  const shuffled = new Random("groups", ...key).shuffled(Array.from(usage, (_, e) => e));
  return Array.from({ length: groups }, (_, g) => {
    const members = shuffled.filter((_, i) => i % groups === g).sort((a, b) => a - b);
    return { leader: members.reduce((a, b) => (usage[b]! > usage[a]! ? b : a)), members };
  }).sort((a, b) => a.leader - b.leader);
}

/** Products of the rows of a router, (E, E). */
export function rowProducts(rows: Float32Array, experts: number): Float64Array {
  const width = rows.length / experts;
  return Float64Array.from({ length: experts * experts }, (_, at) => {
    const [a, b] = [Math.floor(at / experts), at % experts];
    let sum = 0;
    for (let i = 0; i < width; i++) sum += rows[a * width + i]! * rows[b * width + i]!;
    return sum;
  });
}

/** Weights of a group's members, which sum to 1: by usage, or alike where none was used. */
export function memberWeights({ members }: Group, usage: Float64Array): number[] {
  const total = members.reduce((sum, e) => sum + usage[e]!, 0);
  return members.map((e) => (total > 0 ? usage[e]! / total : 1 / members.length));
}
