/**
 * Which item leaves a cache that is full. A policy hears every request and names the item that makes room; it moves
 * nothing, so results never depend on it.
 */
export interface Policy<T> {
  /** Hears a request for an item, which is held from now on. */
  asked(item: T): void;
  /** The one of `held`, which is never empty, that makes room; it is not held any more. */
  leaves(held: Iterable<T>): T;
  /** An item is not held any more for another reason. */
  dropped(item: T): void;
}
