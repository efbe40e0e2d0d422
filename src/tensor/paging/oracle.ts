/**
 * The best there is where all requests are known: the item that is asked for farthest in the future leaves (Belady
 * 1966, "A study of replacement algorithms for a virtual-storage computer"). Of items of which nothing is known, the
 * one that was asked for longest ago.
 */
import type { Policy } from "./policy.ts";

export class Oracle<T> implements Policy<T> {
  readonly #next: (item: T) => number;
  /** When it was asked for, in requests. */
  readonly #last = new Map<T, number>();
  #now = 0;

  constructor(next: (item: T) => number) {
    this.#next = next;
  }

  asked(item: T): void {
    this.#last.set(item, this.#now++);
  }

  leaves(held: Iterable<T>): T {
    const all = [...held].map((item) => ({ item, next: this.#next(item), last: this.#last.get(item) ?? -1 }));
    const { item } = all.reduce((a, b) => (b.next > a.next || (b.next === a.next && b.last < a.last) ? b : a));
    this.dropped(item);
    return item;
  }

  dropped(item: T): void {
    this.#last.delete(item);
  }
}
