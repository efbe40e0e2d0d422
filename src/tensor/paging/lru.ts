/** Least recently used: the item that was asked for longest ago leaves. */
import type { Policy } from "./policy.ts";

export class Lru<T> implements Policy<T> {
  /** The longest ago first. */
  readonly #order = new Set<T>();

  asked(item: T): void {
    this.#order.delete(item);
    this.#order.add(item);
  }

  leaves(held: Iterable<T>): T {
    const known = this.#order.values().next();
    const left = known.done ? [...held][0]! : known.value;
    this.#order.delete(left);
    return left;
  }

  dropped(item: T): void {
    this.#order.delete(item);
  }
}
