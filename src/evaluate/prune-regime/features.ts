/** The last hidden states of a model at rows of data, for comparisons of two models. */
import { type Batch, batchKey, isPairs, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import type { Features } from "../../run/probing/cka.ts";
import { Programs } from "../../run/programs.ts";

/** Most rows of features: the first ones. */
const MOST = 512;

export class FeatureView {
  readonly #model: Model;
  readonly #programs: Programs;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
  }

  /** A row of features for each example, or for each token that counts. */
  async read(batches: readonly Batch[]): Promise<Features> {
    const kept: number[] = [];
    let rows = 0;
    for (const batch of batches) {
      if (rows >= MOST) break;
      if (isPairs(batch))
        throw new UserError("--probe prune-regime does not compare pairs of texts", "give other rows");
      const { program } = await this.#programs.get(batchKey(batch), (rec) => {
        rec.output("features", this.#model.record(rec, recordInputs(rec, batch)).hidden);
      });
      fillInputs(program, batch);
      program.run();
      const found = await program.read("features");
      const counts = isTokens(batch) ? batch.labels : undefined;
      const places = counts?.length ?? batch.rows;
      const width = found.length / places;
      for (let place = 0; place < places && rows < MOST; place++) {
        if (counts && counts[place]! < 0) continue;
        for (const x of found.subarray(place * width, (place + 1) * width)) kept.push(x);
        rows++;
      }
    }
    return { rows, values: Float64Array.from(kept) };
  }

  free(): void {
    this.#programs.free();
  }
}
