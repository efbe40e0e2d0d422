/** All logits of batches of texts on the host: for what needs whole distributions. */
import { batchKey, type TokenBatch } from "../../data/batch.ts";
import { recordHeadOn } from "../../model/head-on.ts";
import type { Model } from "../../model/model.ts";
import { chunkRows } from "../../tensor/ops/head-loss.ts";
import type { Program } from "../../tensor/program.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** What gives a distribution of the next token at every place of a batch. */
export interface RowLogits {
  /** V */
  readonly outputs: number;
  /** (N, V) of the N = rows * length places; what is said of padding does not count. */
  of(batch: TokenBatch): Promise<Float32Array>;
  free(): void;
}

/** How the model is run; as it is when left out. */
interface Ways {
  /** The experts that every token takes, by rank from 0. */
  readonly ranks?: readonly number[] | undefined;
  /** Layers after which the head reads too. */
  readonly early?: readonly number[];
}

/** A model's logits, some rows at a time on the GPU. Host memory: those of a batch, of each reading. */
export class AllLogits implements RowLogits {
  readonly #model: Model;
  readonly #ways: Ways;
  /** With the number of parts that the logits are split into. */
  readonly #programs: Programs<number>;
  /** What the head said after each layer of `early` of the batch that was read last, (N, V) each. */
  early: readonly Float32Array[] = [];

  constructor(model: Model, ways: Ways = {}) {
    this.#model = model;
    this.#ways = ways;
    this.#programs = new Programs(model.gpu);
  }

  get outputs(): number {
    return this.#model.sizes.outputs;
  }

  /** The program of batches of one shape, and the number of parts that its logits are split into. */
  program(batch: TokenBatch): Promise<{ readonly program: Program; readonly recorded: number }> {
    const { gpu, sizes } = this.#model;
    const { ranks, early = [] } = this.#ways;
    return this.#programs.get(batchKey(batch), (rec) => {
      const inputs = recordInputs(rec, batch);
      const { hidden, head, notes } = this.#model.record(rec, inputs, { ranks });
      const rows = chunkRows(sizes.outputs, gpu.adapter.limits.maxStorageBufferBindingSize);
      const parts = rec.split(hidden, rows);
      for (const [i, part] of parts.entries()) rec.output(`logits.${i}`, head(part));
      for (const layer of early) {
        const read = recordHeadOn(this.#model, rec, inputs, { layer, notes });
        for (const [i, part] of rec.split(read.hidden, rows).entries())
          rec.output(`after ${layer}.${i}`, read.head(part));
      }
      return parts.length;
    });
  }

  async of(batch: TokenBatch): Promise<Float32Array> {
    const { program, recorded: parts } = await this.program(batch);
    fillInputs(program, batch);
    await program.start();
    const whole = (name: string) => joined(program, name, parts, batch.rows * batch.length * this.outputs);
    const logits = await whole("logits");
    const others: Float32Array[] = [];
    for (const layer of this.#ways.early ?? []) others.push(await whole(`after ${layer}`));
    this.early = others;
    return logits;
  }

  free(): void {
    this.#programs.free();
  }
}

/** The outputs `name.0`, `name.1`, ... one after the other. */
async function joined(program: Program, name: string, parts: number, size: number): Promise<Float32Array> {
  const all = new Float32Array(size);
  let at = 0;
  for (let i = 0; i < parts; i++) {
    const part = await program.read(`${name}.${i}`);
    all.set(part, at);
    at += part.length;
  }
  return all;
}
