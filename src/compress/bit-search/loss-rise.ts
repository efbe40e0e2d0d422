/** What the loss of rows rises by when one matrix of a model is another. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { StoredTensor } from "../../model/load.ts";
import type { Model } from "../../model/model.ts";
import { Scorer } from "../../run/scoring/scorer.ts";

export class LossRise {
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #signal: AbortSignal;
  readonly #scorer: Scorer;
  readonly #byName: ReadonlyMap<string, StoredTensor>;
  #whole = 0;

  private constructor(model: Model, batches: readonly Batch[], signal: AbortSignal) {
    this.#model = model;
    this.#batches = batches;
    this.#signal = signal;
    this.#scorer = new Scorer(model);
    this.#byName = new Map(model.stored.map((stored) => [stored.name, stored]));
  }

  /** Of a model in f32, in memory. Throws UserError where its loss is no number. */
  static async of(model: Model, batches: readonly Batch[], signal: AbortSignal): Promise<LossRise> {
    const rise = new LossRise(model, batches, signal);
    rise.#whole = await rise.#loss();
    if (Number.isFinite(rise.#whole)) return rise;
    throw new UserError("the loss on --calibration is no finite number", "its rows have no targets, or are not for it");
  }

  async #loss(): Promise<number> {
    let [sum, counted] = [0, 0];
    for (const batch of this.#batches) {
      this.#signal.throwIfAborted();
      const { nll, targets } = await this.#scorer.score(batch);
      sum += nll.reduce((a, b) => a + b, 0);
      counted += targets.reduce((count, target) => count + Number(target >= 0), 0);
    }
    return sum / counted;
  }

  /** With other values in the place of a tensor, which then is put back. */
  async with(name: string, values: Float32Array): Promise<number> {
    const stored = this.#byName.get(name);
    if (!stored) throw new RangeError(`the model has no ${name}`);
    const { gpu } = this.#model;
    const { parameter, start } = stored;
    const own = await gpu.read(parameter.buffer, 4 * start, 4 * values.length, (view) => view.slice());
    gpu.write(parameter.buffer, 4 * start, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    try {
      return (await this.#loss()) - this.#whole;
    } finally {
      gpu.write(parameter.buffer, 4 * start, own);
    }
  }

  async free(): Promise<void> {
    await this.#scorer.free();
  }
}
