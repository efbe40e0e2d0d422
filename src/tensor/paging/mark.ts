/**
 * Marking with one predicted bit for each request. Every request marks its item; a miss with all items marked begins a
 * phase, in which none is. An unmarked item leaves by chance: one whose bit says that it is not asked for in the next
 * phase, if there is such a one. The bit is that of the item's latest request.
 *
 * With right bits there are at most twice as many misses as the best policy has, with wrong ones no more than a factor
 * of the order of the logarithm of the cache's size. Antoniadis et al. 2023, "Paging with Succinct Predictions",
 * https://arxiv.org/abs/2210.02775; without bits Fiat et al. 1991, "Competitive paging algorithms".
 */
import type { Policy } from "./policy.ts";

export class Marking<T> implements Policy<T> {
  readonly #unit: () => number;
  readonly #isCold: (item: T) => boolean;
  readonly #marked = new Set<T>();
  readonly #cold = new Set<T>();

  constructor(unit: () => number, isCold: (item: T) => boolean) {
    this.#unit = unit;
    this.#isCold = isCold;
  }

  asked(item: T): void {
    this.#marked.add(item);
    if (this.#isCold(item)) this.#cold.add(item);
    else this.#cold.delete(item);
  }

  leaves(held: Iterable<T>): T {
    const all = [...held];
    let open = all.filter((item) => !this.#marked.has(item));
    if (open.length === 0) {
      this.#marked.clear();
      open = all;
    }
    const cold = open.filter((item) => this.#cold.has(item));
    const from = cold.length > 0 ? cold : open;
    const left = from[Math.floor(this.#unit() * from.length)]!;
    this.dropped(left);
    return left;
  }

  dropped(item: T): void {
    this.#marked.delete(item);
    this.#cold.delete(item);
  }
}
