/** Runs a model over batches and gives what every metric is made of: per token (or example) loss, best guess and confidence. */
import { type Batch, batchKey, isTokens } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { scoreTokens } from "../../tensor/ops/cross-entropy.ts";
import { chunkRows } from "../../tensor/ops/head-loss.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";

export interface Scores {
  /** What was to be predicted, -100 where nothing counts: (B * T) shifted by one, or (B). */
  readonly targets: Int32Array;
  /** -log probability of the target; 0 where nothing counts. */
  readonly nll: Float32Array;
  /** Most likely output, the lowest of equals. */
  readonly argmax: Uint32Array;
  /** Its probability. */
  readonly confidence: Float32Array;
  /** Mean and variance of the log-probabilities of all outputs, two per entry; when asked for. */
  readonly moments?: Float32Array;
}

export class Scorer {
  readonly model: Model;
  readonly #slots: SlotPool | undefined;
  readonly #moments: boolean;
  readonly #programs = new Map<string, Promise<Program>>();
  /** Runs are queued one after the other: a program's inputs are its own. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(model: Model, slots?: SlotPool, asked: { readonly moments?: boolean } = {}) {
    this.model = model;
    this.#slots = slots;
    this.#moments = asked.moments ?? false;
  }

  #program(batch: Batch): Promise<Program> {
    const key = isTokens(batch) ? batchKey(batch) : `${batch.rows}`;
    let found = this.#programs.get(key);
    if (!found) {
      found = this.#compile(batch);
      this.#programs.set(key, found);
    }
    return found;
  }

  #compile(batch: Batch): Promise<Program> {
    const { gpu, sizes } = this.model;
    const rec = new Recorder(profileOf(gpu), { training: false });
    const inputs = isTokens(batch)
      ? recordInputs(rec, batch)
      : { batch: batch.rows, x: rec.input("x", [batch.rows, ...batch.shape]) };
    const { hidden, head } = this.model.record(rec, inputs);
    const n = hidden.shape[0]!;
    const targets = rec.input("targets", [n], "i32");
    // Logits exist for some rows at a time only.
    const rows = chunkRows(sizes.outputs, gpu.adapter.limits.maxStorageBufferBindingSize);
    const labels = rec.split(targets, rows);
    const scored = rec
      .split(hidden, rows)
      .map((part, i) => scoreTokens(rec, head(part), labels[i]!, { moments: this.#moments }));
    for (const name of ["nll", "argmax", "confidence", "moments"] as const) {
      const parts = scored.flatMap((part) => part[name] ?? []);
      if (parts.length > 0) rec.output(name, rec.concat(parts, name));
    }
    return Program.compile(gpu, rec, this.#slots);
  }

  /** Scores a batch. Many may be under way. */
  score(batch: Batch): Promise<Scores> {
    const run = this.#queue.then(async () => {
      const program = await this.#program(batch);
      let targets: Int32Array;
      if (isTokens(batch)) {
        targets = targetsOf(batch);
        fillInputs(program, batch);
      } else {
        targets = batch.labels;
        program.write("x", batch.x);
      }
      program.write("targets", targets);
      program.run();
      const reads = Promise.all([
        program.read("nll"),
        program.readWords("argmax"),
        program.read("confidence"),
        this.#moments ? program.read("moments") : undefined,
      ]);
      reads.catch(() => {});
      return { targets, reads };
    });
    this.#queue = run.catch(() => {});
    return run.then(async ({ targets, reads }) => {
      const [nll, argmax, confidence, moments] = await reads;
      return { targets, nll, argmax, confidence, ...(moments ? { moments } : {}) };
    });
  }

  async free(): Promise<void> {
    for (const program of this.#programs.values()) (await program).free();
    this.#programs.clear();
  }
}
