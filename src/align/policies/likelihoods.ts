/** Log-probabilities of sampled answers under the model as it is, or as it was, and what a value head foretells. */
import { batchKey, collate, type TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import type { Program } from "../../tensor/program.ts";
import { logProbsOf } from "./log-probs.ts";
import type { ValueHead } from "./value-head.ts";

/** Of each token of an answer. */
export interface TokenScores {
  readonly logProbs: Float32Array;
  /** Where there is a value head. */
  readonly estimates: Float32Array | undefined;
}

/** Scores answers with one model, at one temperature. */
export class Likelihoods {
  readonly #model: Model;
  readonly #programs: Programs;
  readonly #how: { readonly temperature: number; readonly adapter: boolean };
  readonly #head: ValueHead | undefined;

  /** `adapter` false: of the base under the model's adapter. */
  constructor(model: Model, how: { readonly temperature: number; readonly adapter?: boolean }, head?: ValueHead) {
    this.#model = model;
    this.#how = { adapter: true, ...how };
    this.#head = head;
    this.#programs = new Programs(model.gpu);
  }

  async #program(batch: TokenBatch): Promise<Program> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { logProbs, hidden } = logProbsOf(rec, this.#model, batch, this.#how);
      rec.output("log-probabilities", logProbs);
      if (this.#head) rec.output("estimates", this.#head.record(rec, hidden, logProbs.shape));
    });
    return program;
  }

  /** Takes the memory for batches of this shape, and runs nothing. */
  async plan(batch: TokenBatch): Promise<void> {
    await this.#program(batch);
  }

  /** Of every sequence its tokens after the first `from`; `rows` are run at once. */
  async of(sequences: readonly Sequence[], from: readonly number[], rows: number, pad: number): Promise<TokenScores[]> {
    const found: TokenScores[] = [];
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
      const [all, estimates] = await Promise.all([
        program.read("log-probabilities"),
        this.#head ? program.read("estimates") : undefined,
      ]);
      for (const [row, { ids }] of part.entries()) {
        const start = row * batch.length + from[at + row]! - 1;
        const end = start + ids.length - from[at + row]!;
        found.push({ logProbs: all.slice(start, end), estimates: estimates?.slice(start, end) });
      }
    }
    return found;
  }

  free(): void {
    this.#programs.free();
  }
}
