/** Log-probabilities of sampled answers under the model as it is, or as it was, with entropies and foretold values. */
import { batchKey, collate, type TokenBatch } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import type { Program } from "../../tensor/program.ts";
import type { Dynamic } from "../../tensor/recorder.ts";
import { COOLING } from "./entropy-target.ts";
import { logProbsOf } from "./log-probs.ts";
import type { ValueHead } from "./value-head.ts";

/** Of each token of an answer. */
export interface TokenScores {
  readonly logProbs: Float32Array;
  /** In nats, before each token; where they are asked for. */
  readonly entropies: Float32Array | undefined;
  /** Where there is a value head: of several rewards one after the other, token by token. */
  readonly estimates: Float32Array | undefined;
}

interface ScoringOptions {
  readonly temperature: number | Dynamic;
  /** False: the base under the model's adapter. */
  readonly adapter?: boolean;
  readonly entropies?: boolean;
}

/** Scores answers with one model, at one temperature. */
export class Likelihoods {
  readonly #model: Model;
  readonly #programs: Programs;
  readonly #how: ScoringOptions;
  readonly #head: ValueHead | undefined;

  constructor(model: Model, how: ScoringOptions, head?: ValueHead) {
    this.#model = model;
    this.#how = how;
    this.#head = head;
    this.#programs = new Programs(model.gpu);
  }

  async #program(batch: TokenBatch): Promise<Program> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { temperature, adapter = true, entropies } = this.#how;
      const { logProbs, hidden, notes } = logProbsOf(rec, this.#model, batch, { temperature, adapter });
      rec.output("log-probabilities", logProbs);
      if (entropies) rec.output("entropies", notes.all("entropy"));
      if (this.#head) rec.output("estimates", this.#head.record(rec, hidden, logProbs.shape));
    });
    return program;
  }

  /** Takes the memory for batches of this shape, and runs nothing. */
  async plan(batch: TokenBatch): Promise<void> {
    await this.#program(batch);
  }

  /**
   * Of every sequence its tokens after the first `from`; `rows` are run at once. `temperature` is that of a scorer
   * whose own is a number of the run.
   */
  async of(
    sequences: readonly Sequence[],
    from: readonly number[],
    { rows, pad, temperature = 1 }: { readonly rows: number; readonly pad: number; readonly temperature?: number },
  ): Promise<TokenScores[]> {
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
      await program.start({ [COOLING]: 1 / temperature });
      const [all, entropies, estimates] = await Promise.all([
        program.read("log-probabilities"),
        this.#how.entropies ? program.read("entropies") : undefined,
        this.#head ? program.read("estimates") : undefined,
      ]);
      const cut = (x: Float32Array | undefined, row: number, length: number, wide = 1) => {
        const start = row * batch.length + from[at + row]! - 1;
        return x?.slice(wide * start, wide * (start + length - from[at + row]!));
      };
      for (const [row, { ids }] of part.entries()) {
        const own = (x: Float32Array | undefined, wide?: number) => cut(x, row, ids.length, wide);
        const foretold = own(estimates, this.#head?.count);
        found.push({ logProbs: own(all)!, entropies: own(entropies), estimates: foretold });
      }
    }
    return found;
  }

  free(): void {
    this.#programs.free();
  }
}
