/** What rows say of the layers of a model, for depth rules. */
import type { Batch } from "../data/batch.ts";
import type { Model } from "../model/model.ts";
import { blockInfluences } from "../run/depth/layer-influence.ts";
import { givenTurns } from "../run/depth/row-depth.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { LayerMeasure } from "./depth-rule.ts";

/** Measures on batches; `done` hears of the rows of every pass. To be freed. */
export class RowMeasure implements LayerMeasure {
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #how: { readonly signal: AbortSignal; readonly done?: (rows: number) => void };
  #times: readonly number[] = [];
  #scorer: Scorer | undefined;

  constructor(
    model: Model,
    batches: readonly Batch[],
    how: { readonly signal: AbortSignal; readonly done?: (rows: number) => void },
  ) {
    this.#model = model;
    this.#batches = batches;
    this.#how = how;
  }

  influences(): Promise<readonly number[]> {
    return blockInfluences(this.#model, this.#batches, this.#how);
  }

  /** All layers are computed, so that one program serves for every choice. */
  async loss(kept: readonly number[]): Promise<number> {
    const { layers } = this.#model.sizes;
    this.#scorer ??= new Scorer(this.#model, undefined, { depth: givenTurns(layers, 1, () => this.#times) });
    this.#times = Array.from({ length: layers }, (_, layer) => (kept.includes(layer) ? 1 : 0));
    let [sum, counted] = [0, 0];
    for (const batch of this.#batches) {
      this.#how.signal.throwIfAborted();
      const { nll, targets } = await this.#scorer.score(batch);
      sum += nll.reduce((a, b) => a + b, 0);
      counted += targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0);
      this.#how.done?.(batch.rows);
    }
    return sum / counted;
  }

  async free(): Promise<void> {
    await this.#scorer?.free();
  }
}
