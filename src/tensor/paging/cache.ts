/**
 * A cache of bounded size over a policy, and the policies by name.
 *
 *   lru           the one that was asked for longest ago
 *   mark          one by chance of those that were not asked for in this phase (randomised marking)
 *   mark-predict  as mark, and those first that are predicted not to be asked for in the next phase
 *   oracle        the one that is asked for farthest in the future, as far as that is known
 */
import { Lru } from "./lru.ts";
import { Marking } from "./mark.ts";
import { Oracle } from "./oracle.ts";
import type { Policy } from "./policy.ts";

export const POLICIES = ["lru", "mark", "mark-predict", "oracle"] as const;
export type PolicyName = (typeof POLICIES)[number];

/** What a policy may know beforehand. */
export interface Foresight<T> {
  /** A number in [0, 1) for a choice by chance. */
  readonly unit: () => number;
  /** Whether an item that is asked for now is predicted not to be asked for in the next phase. */
  readonly cold: (item: T) => boolean;
  /** How many requests from now an item is asked for; infinite where that is never, or not known. */
  readonly next: (item: T) => number;
}

export function makePolicy<T>(name: PolicyName, { unit, cold, next }: Foresight<T>): Policy<T> {
  if (name === "lru") return new Lru();
  if (name === "oracle") return new Oracle(next);
  return new Marking(unit, name === "mark" ? () => false : cold);
}

/** What a request did. */
export interface Answer<T> {
  readonly hit: boolean;
  /** What left to make room. */
  readonly left: T | undefined;
}

/** At most `size` items, at least one. */
export class Cache<T> {
  readonly #size: number;
  readonly #policy: Policy<T>;
  readonly #held = new Set<T>();

  constructor(size: number, policy: Policy<T>) {
    if (!Number.isInteger(size) || size < 1) throw new RangeError(`a cache holds 1 item or more, not ${size}`);
    this.#size = size;
    this.#policy = policy;
  }

  get held(): ReadonlySet<T> {
    return this.#held;
  }

  request(item: T): Answer<T> {
    const hit = this.#held.has(item);
    let left: T | undefined;
    if (!hit && this.#held.size >= this.#size) {
      left = this.#policy.leaves(this.#held);
      this.#held.delete(left);
    }
    this.#held.add(item);
    this.#policy.asked(item);
    return { hit, left };
  }

  drop(item: T): void {
    if (this.#held.delete(item)) this.#policy.dropped(item);
  }
}
