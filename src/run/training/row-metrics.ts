/** Numbers that a loss reports on the way: means over the rows that count. */
import { concat } from "../../tensor/concat.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * Values per row that are reported as means. A chunk is recorded twice when it is computed again on the way back; its
 * first time counts.
 */
export class RowMetrics {
  readonly #rec: Recorder;
  readonly #seen = new Set<number>();
  readonly #parts = new Map<string, Tensor[]>();
  #open = false;

  constructor(rec: Recorder) {
    this.#rec = rec;
  }

  chunk(labels: Tensor): void {
    this.#open = !this.#seen.has(labels.root);
    this.#seen.add(labels.root);
  }

  add(name: string, x: Tensor): void {
    if (!this.#open) return;
    const list = this.#parts.get(name) ?? [];
    this.#parts.set(name, list);
    list.push(stopGradient(this.#rec, x));
  }

  /** The values of all rows (N). */
  all(name: string): Tensor {
    const parts = this.#parts.get(name)!;
    return parts.length === 1 ? parts[0]! : concat(this.#rec, parts, name);
  }

  *means(weights: Tensor): Generator<[string, Tensor]> {
    for (const name of this.#parts.keys()) yield [name, dot(this.#rec, this.all(name), weights)];
  }
}
