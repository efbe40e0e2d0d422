/** What the layers of a classifier make of rows, pooled over tokens or patches, and what its head says of them. */
import { batchKey, type ExampleBatch, stackExamples } from "../../data/batch.ts";
import { inBatches } from "../../data/dataset.ts";
import type { Example } from "../../data/examples.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { mul, scale, sumTo } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

export interface PooledRow {
  /** Of every layer that has some, the first first; the last is what the head reads. */
  readonly layers: readonly Float32Array[];
  /** (K) */
  readonly logits: Float32Array;
}

/** States of a layer, of tokens or of whole rows, as one vector a row: (B, C). */
function pooled(rec: Recorder, x: Tensor, rows: number, shares: Tensor | undefined): Tensor {
  const [n = 0, width = 0] = x.shape;
  if (n === rows) return x;
  const tokens = n / rows;
  const grid = rec.reshape(x, [rows, tokens, width]);
  const weighed = shares ? mul(rec, grid, rec.reshape(shares, [rows, tokens, 1])) : scale(rec, grid, 1 / tokens);
  return rec.reshape(sumTo(rec, weighed, [rows, 1, width]), [rows, width]);
}

/** The layers of a recording, each (B, C): the states after every block, and what the head reads. */
export function pooledLayers(rec: Recorder, { notes, hidden, shares }: Recorded, rows: number): Tensor[] {
  const states = [...notes].filter(([name, x]) => /^hidden\.[1-9]\d*$/.test(name) && x.root !== hidden.root);
  return [...states.map(([, x]) => pooled(rec, x, rows, shares)), hidden];
}

/** Reads batches of a classifier, whatever their shape. To be freed. */
export class FeatureReader {
  readonly #model: Model;
  readonly #programs: Programs<number>;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
  }

  async read(batch: ExampleBatch): Promise<PooledRow[]> {
    const { program, recorded: count } = await this.#programs.get(batchKey(batch), (rec) => {
      const made = this.#model.record(rec, recordInputs(rec, batch));
      const layers = pooledLayers(rec, made, batch.rows);
      // What is read is a copy: a layer may lie where later steps write.
      for (const [i, x] of layers.entries()) rec.output(`layer ${i}`, scale(rec, x, 1));
      rec.output("logits", scale(rec, made.head(made.hidden), 1));
      return layers.length;
    });
    fillInputs(program, batch);
    program.run();
    const names = [...Array.from({ length: count }, (_, i) => `layer ${i}`), "logits"];
    const found = await Promise.all(names.map((name) => program.read(name)));
    return Array.from({ length: batch.rows }, (_, row) => {
      const parts = found.map((values) => {
        const width = values.length / batch.rows;
        return Float32Array.from(values.subarray(row * width, (row + 1) * width));
      });
      return { layers: parts.slice(0, -1), logits: parts.at(-1)! };
    });
  }

  free(): void {
    this.#programs.free();
  }
}

/** All rows, in their order. */
export async function pooledFeatures(
  model: Model,
  examples: readonly Example[],
  { rows = 64, signal, done = () => {} }: { rows?: number; signal?: AbortSignal; done?: (rows: number) => void } = {},
): Promise<PooledRow[]> {
  const reader = new FeatureReader(model);
  const found: PooledRow[] = [];
  try {
    for await (const part of inBatches(examples, rows)) {
      signal?.throwIfAborted();
      found.push(...(await reader.read(stackExamples(part))));
      done(part.length);
    }
  } finally {
    reader.free();
  }
  return found;
}
