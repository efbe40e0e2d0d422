/**
 * Runs a model over batches and gives what every metric is made of: per token (or example) loss, best guess and
 * confidence.
 */
import { type Batch, batchKey } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { concat } from "../../tensor/concat.ts";
import { scoreTokens } from "../../tensor/ops/cross-entropy.ts";
import { rowEntropy } from "../../tensor/ops/distribution.ts";
import { square, sub } from "../../tensor/ops/elementwise.ts";
import { chunkRows } from "../../tensor/ops/head-loss.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { fillInputs, fillNumbers, fillTargets, recordInputs, recordNumbers, recordTargets } from "../batch-programs.ts";
import type { RowDepth } from "../depth/row-depth.ts";
import { Programs } from "../programs.ts";
import { recordOverlap } from "./draft-overlap.ts";
import { recordOutputs, type ScoredWith } from "./recorded-outputs.ts";

export interface Scores {
  /** What was to be predicted, -100 where nothing counts: (B * T) shifted by one, or (B). */
  readonly targets: Int32Array;
  /** -log probability of the target; 0 where nothing counts: average it with `meanLoss`. */
  readonly nll: Float32Array;
  /** Most likely output, the lowest of equals. */
  readonly argmax: Uint32Array;
  /** Its probability. */
  readonly confidence: Float32Array;
  /** Mean and variance of the log-probabilities of all outputs, two per entry; where they were asked for. */
  readonly moments?: Float32Array;
  /** Entropy of all outputs in nats, and the sum of their squared probabilities; where they were asked for. */
  readonly spread?: { readonly entropy: Float32Array; readonly squares: Float32Array };
  /** Of a draft: see `ScoredRow`; where one was given. */
  readonly draft?: { readonly overlap: Float32Array; readonly argmax: Uint32Array };
  /** Probabilities of all outputs, so many per entry; where they were asked for. */
  readonly probabilities?: Float32Array;
  /** Of a regressor, (B, K) each: its outputs, and what they should be. `nll` is the mean square of the errors then. */
  readonly numbers?: { readonly found: Float32Array; readonly wanted: Float32Array };
}

export interface ScorerOptions {
  readonly moments?: boolean;
  readonly probabilities?: boolean;
  readonly spread?: boolean;
  readonly mixed?: ScoredWith | undefined;
  /** A language model whose outputs are compared with the model's. */
  readonly draft?: Model | undefined;
  /** Lets every row choose which layers run. */
  readonly depth?: RowDepth | undefined;
}

/**
 * Scores batches with one model, or with two whose outputs are mixed.
 *
 *   const scorer = new Scorer(model);
 *   const { nll, targets } = await scorer.score(collate([[sequence]]));
 *   await scorer.free();
 */
export class Scorer {
  readonly model: Model;
  readonly #moments: boolean;
  readonly #probabilities: boolean;
  readonly #spread: boolean;
  readonly #mixed: ScoredWith | undefined;
  readonly #depth: RowDepth | undefined;
  readonly #draft: Model | undefined;
  readonly #programs: Programs;
  /** Runs are queued one after the other: batches of one shape share the inputs of a program. */
  #queue: Promise<unknown> = Promise.resolve();

  /** `slots` is memory for activations that someone else owns. */
  constructor(
    model: Model,
    slots?: SlotPool,
    { moments = false, probabilities = false, spread = false, mixed, draft, depth }: ScorerOptions = {},
  ) {
    this.model = model;
    this.#programs = new Programs(model.gpu, { slots });
    this.#moments = moments;
    this.#probabilities = probabilities;
    this.#spread = spread;
    this.#mixed = mixed;
    this.#depth = depth;
    this.#draft = draft;
  }

  #recordNumbers(rec: Recorder, batch: Batch): void {
    const found = recordOutputs(rec, recordInputs(rec, batch), this.model, undefined)(0);
    const wanted = recordNumbers(rec, batch, this.model.sizes.outputs);
    rec.output("found", found);
    rec.output("nll", rowSum(rec, square(rec, sub(rec, found, wanted)), 1 / this.model.sizes.outputs));
  }

  async #scoreNumbers(batch: Batch): Promise<{ readonly scores: Promise<Scores> }> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => this.#recordNumbers(rec, batch));
    fillInputs(program, batch);
    const wanted = fillNumbers(program, batch);
    await program.start();
    const { rows } = batch;
    const scores = Promise.all([program.read("nll"), program.read("found")]).then(([nll, found]) => ({
      ...{ targets: new Int32Array(rows), argmax: new Uint32Array(rows), confidence: new Float32Array(rows) },
      ...{ nll, numbers: { found, wanted } },
    }));
    scores.catch(() => {});
    return { scores };
  }

  #record(rec: Recorder, batch: Batch): void {
    const { gpu, sizes } = this.model;
    const inputs = recordInputs(rec, batch);
    // Logits exist for some rows at a time only.
    const rows = chunkRows(sizes.outputs, gpu.adapter.limits.maxStorageBufferBindingSize);
    const labels = rec.split(recordTargets(rec, batch), rows);
    const depth = this.#depth?.record(rec, inputs);
    const logits = recordOutputs(rec, inputs, this.model, this.#mixed, { rows, depth });
    const others = this.#draft && recordOutputs(rec, inputs, this.#draft, undefined, { rows });
    const parts = labels.map((own, i) => ({ own, logits: logits(i), other: others?.(i) }));
    const scored = parts.map(({ own, logits, other }) => ({
      ...scoreTokens(rec, logits, own, { moments: this.#moments }),
      ...(this.#spread && {
        entropy: rowEntropy(rec, logits),
        squares: rowSum(rec, square(rec, softmax(rec, logits))),
      }),
      ...(other && { overlap: recordOverlap(rec, logits, other), draftArgmax: scoreTokens(rec, other, own).argmax }),
    }));
    if (this.#probabilities) {
      const shares = parts.map(({ logits }) => softmax(rec, logits));
      rec.output("probabilities", concat(rec, shares, "probabilities"));
    }
    for (const name of [
      "nll",
      "argmax",
      "confidence",
      "moments",
      "entropy",
      "squares",
      "overlap",
      "draftArgmax",
    ] as const) {
      const parts = scored.flatMap((part) => part[name] ?? []);
      if (parts.length > 0) rec.output(name, concat(rec, parts, name));
    }
  }

  async #scoreTargets(batch: Batch): Promise<{ readonly scores: Promise<Scores> }> {
    const { program } = await this.#programs.get(batchKey(batch), (rec) => this.#record(rec, batch));
    fillInputs(program, batch);
    this.#depth?.fill(program, batch);
    const targets = fillTargets(program, batch);
    await program.start();
    const scores = Promise.all([
      program.read("nll"),
      program.readWords("argmax"),
      program.read("confidence"),
      this.#moments ? program.read("moments") : undefined,
      this.#probabilities ? program.read("probabilities") : undefined,
      this.#draft ? program.read("overlap") : undefined,
      this.#draft ? program.readWords("draftArgmax") : undefined,
      this.#spread ? program.read("entropy") : undefined,
      this.#spread ? program.read("squares") : undefined,
    ]).then(([nll, argmax, confidence, moments, probabilities, overlap, guess, entropy, squares]) => ({
      ...{ targets, nll, argmax, confidence },
      ...(moments ? { moments } : {}),
      ...(probabilities ? { probabilities } : {}),
      ...(entropy && squares ? { spread: { entropy, squares } } : {}),
      ...(overlap && guess ? { draft: { overlap, argmax: guess } } : {}),
    }));
    scores.catch(() => {});
    return { scores };
  }

  /** Scores a batch. Many may be under way. */
  score(batch: Batch): Promise<Scores> {
    const run = this.#queue.then(() =>
      this.model.task === "regressor" ? this.#scoreNumbers(batch) : this.#scoreTargets(batch),
    );
    this.#queue = run.catch(() => {});
    return run.then(({ scores }) => scores);
  }

  /** Frees the programs once the batches under way are done. */
  async free(): Promise<void> {
    await this.#queue;
    this.#programs.free();
  }
}
