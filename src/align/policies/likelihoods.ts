/** Log-probabilities of sampled answers under the model as it is, or under the model as it was. */
import { batchKey, collate, type TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import type { Program } from "../../tensor/program.ts";
import { logProbsOf } from "./log-probs.ts";

/** Scores answers with one model, at one temperature. */
export class Likelihoods {
  readonly #model: Model;
  readonly #programs: Programs;
  readonly #how: { readonly temperature: number; readonly adapter: boolean };

  /** `adapter` false: of the base under the model's adapter. */
  constructor(model: Model, how: { readonly temperature: number; readonly adapter?: boolean }) {
    this.#model = model;
    this.#how = { adapter: true, ...how };
    this.#programs = new Programs(model.gpu);
  }

  async #program(batch: TokenBatch): Promise<Program> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      rec.output("log-probabilities", logProbsOf(rec, this.#model, batch, this.#how).logProbs);
    });
    return program;
  }

  /** Takes the memory for batches of this shape, and runs nothing. */
  async plan(batch: TokenBatch): Promise<void> {
    await this.#program(batch);
  }

  /** Of every sequence the log-probabilities of its tokens after the first `from`; `rows` are run at once. */
  async of(
    sequences: readonly Sequence[],
    from: readonly number[],
    rows: number,
    pad: number,
  ): Promise<Float32Array[]> {
    const found: Float32Array[] = [];
    for (let at = 0; at < sequences.length; at += rows) {
      const part = sequences.slice(at, at + rows);
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad },
      );
      const program = await this.#program(batch);
      fillInputs(program, batch);
      fillTargets(program, batch);
      await program.start();
      const all = await program.read("log-probabilities");
      for (const [row, { ids }] of part.entries()) {
        const start = row * batch.length + from[at + row]! - 1;
        found.push(all.slice(start, start + ids.length - from[at + row]!));
      }
    }
    return found;
  }

  free(): void {
    this.#programs.free();
  }
}
