/**
 * Facts that share the beginning of their prompts: popular ones, which end one way, and rare ones, which end another.
 * All tokens are random.
 */

import { Random } from "../../data/random.ts";
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";

export interface FactSizes {
  /** Beginnings that are shared. */
  readonly groups: number;
  /** Facts of each that end as most do, and facts that end otherwise. */
  readonly popular: number;
  readonly rare: number;
  /** Tokens of the beginning, and of what tells facts apart. */
  readonly shared: number;
  readonly own: number;
}

export interface Facts {
  readonly popular: readonly Sequence[];
  readonly rare: readonly Sequence[];
  /** Of each fact in the same order, how the facts end that it shares its beginning with. */
  readonly otherThanPopular: readonly number[];
  readonly otherThanRare: readonly number[];
}

/** Sequences of random tokens, no two of them alike. Throws RangeError where there are not so many. */
class Distinct {
  readonly #random: Random;
  readonly #tokens: readonly number[];
  readonly #seen = new Set<string>();

  constructor(random: Random, tokens: readonly number[]) {
    this.#random = random;
    this.#tokens = tokens;
  }

  draw(length: number): number[] {
    for (let tries = 0; tries < 1000; tries++) {
      const ids = Array.from({ length }, () => this.#tokens[this.#random.below(this.#tokens.length)]!);
      const key = ids.join();
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      return ids;
    }
    throw new RangeError(`there are hardly more sequences of ${length} of ${this.#tokens.length} tokens`);
  }
}

/**
 * Facts of `tokens`, a function of the seed and the sizes: more facts of a kind begin with fewer. The last token alone
 * counts. Throws RangeError for sizes that leave no room for distinct facts.
 */
export function drawFacts(
  { groups, popular, rare, shared, own }: FactSizes,
  tokens: readonly number[],
  seed: number,
): Facts {
  const beginnings = new Distinct(new Random(seed, "overshadow beginnings"), tokens);
  const made = { popular: [] as Sequence[], rare: [] as Sequence[] };
  const other = { popular: [] as number[], rare: [] as number[] };
  for (let group = 0; group < groups; group++) {
    const begin = beginnings.draw(shared);
    const ends = new Random(seed, "overshadow ends", group);
    const most = ends.below(tokens.length);
    const less = (most + 1 + ends.below(tokens.length - 1)) % tokens.length;
    const [usual, unusual] = [tokens[most]!, tokens[less]!];
    // Rare facts come first, so that their number of popular ones does not change them.
    const rest = new Distinct(new Random(seed, "overshadow facts", group), tokens);
    for (const [kind, count, end, otherwise] of [
      ["rare", rare, unusual, usual],
      ["popular", popular, usual, unusual],
    ] as const)
      for (let i = 0; i < count; i++) {
        const ids = Int32Array.of(...begin, ...rest.draw(own), end);
        const labels = ids.map((id, at) => (at === ids.length - 1 ? id : IGNORED));
        made[kind].push({ ids, labels, group: 0, place: `${kind} fact ${i + 1} of beginning ${group + 1}` });
        other[kind].push(otherwise);
      }
  }
  return { ...made, otherThanPopular: other.popular, otherThanRare: other.rare };
}
