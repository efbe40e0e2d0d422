/**
 * What the layers of a model hold on batches that stay the same: some rows of every hidden state, evenly spread over
 * the tokens or examples, the largest magnitude of all rows, and where it is asked for the norm of the loss's gradient
 * there. Layers are named as architectures note them: `hidden.0` is what the first block reads, `hidden.1` what it
 * gives; `features` is what the head reads.
 *
 * GPU memory: the activations of a batch. Host memory: the rows.
 */
import { type Batch, isPairs } from "../../data/batch.ts";
import { meanWeights, targetsOf } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { abs, square } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { realRows, spreadOver } from "./real-rows.ts";

export const FEATURES = "features";

export interface LayerViewOptions {
  /** Rows of a layer that are read, of all batches together. */
  readonly rows: number;
  /** Whether the loss's gradients are wanted. */
  readonly gradients?: boolean;
}

export interface SeenLayer {
  readonly layer: string;
  readonly width: number;
  /** (rows, width) */
  readonly values: Float32Array;
  /** Largest magnitude over all rows. */
  readonly largest: number;
  /** Norm of the gradient of the mean loss over all rows; undefined where none was asked for, or comes so far. */
  readonly gradient: number | undefined;
}

/** A layer in a batch's program: outputs `rows of L`, `peaks of L` and perhaps `squares of L`. */
interface Noted {
  readonly layer: string;
  readonly width: number;
  /** Rows of the tensor that are no padding. */
  readonly real: readonly number[];
  readonly hasGradient: boolean;
}

const isHidden = (name: string): boolean => /^hidden\.\d+$/.test(name);
const flat = (rec: Recorder, x: Tensor): Tensor => rec.reshape(x, [rowsOf(x).rows, rowsOf(x).width]);

/** Records one batch. */
function record(rec: Recorder, model: Model, batch: Batch, { rows, gradients }: LayerViewOptions): Noted[] {
  const reached = new Set<string>();
  const hear = (layer: string, x: Tensor): void => {
    if (!gradients) return;
    // On the way back, while the gradient of the layer is whole and before its memory is used again.
    rec.onBackward(x, (dx) => {
      rec.output(`squares of ${layer}`, rowSum(rec, square(rec, flat(rec, dx))));
      reached.add(layer);
    });
  };
  const { hidden, head, notes } = model.record(rec, recordInputs(rec, batch), {
    replace(name, x) {
      if (isHidden(name)) hear(name, x);
      return x;
    },
  });
  hear(FEATURES, hidden);
  const layers = [...notes].filter(([name, x]) => isHidden(name) && x.storage.kind === "activation");
  const found = [...layers, [FEATURES, hidden] as const].map(([layer, x]) => {
    const all = rowsOf(x);
    const real = realRows(batch, all.rows);
    const chosen = spreadOver(real, rows);
    const ids = rec.constant(Int32Array.from(chosen), [chosen.length], `rows of ${layer} that are read`);
    rec.output(`rows of ${layer}`, embedding(rec, ids, flat(rec, x)));
    rec.output(`peaks of ${layer}`, rowMax(rec, abs(rec, flat(rec, x))));
    return { layer, width: all.width, real };
  });
  if (gradients) {
    const weights = rec.input("weights", [batch.rows * batch.length]);
    const loss = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets: recordTargets(rec, batch) });
    rec.backward([[loss, weights]]);
  }
  return found.map((one) => ({ ...one, hasGradient: reached.has(one.layer) }));
}

export class LayerView {
  readonly #programs: Programs<readonly Noted[]>;
  readonly #parts: { readonly batch: Batch; readonly program: Program; readonly noted: readonly Noted[] }[] = [];
  readonly #total: number;

  private constructor(model: Model, batches: readonly Batch[], { gradients = false }: LayerViewOptions) {
    this.#programs = new Programs(model.gpu, { training: gradients });
    this.#total = batches.reduce((sum, { counted }) => sum + counted, 0);
  }

  /** Compiles what it needs. Throws TypeError for pairs of texts, whose loss is another one. */
  static async make(model: Model, batches: readonly Batch[], options: LayerViewOptions): Promise<LayerView> {
    const made = new LayerView(model, batches, options);
    const rows = Math.max(1, Math.ceil(options.rows / batches.length));
    for (const [i, batch] of batches.entries()) {
      if (isPairs(batch)) throw new TypeError("pairs of texts have no layers of their own");
      // A program for each batch: which rows are read is a part of it.
      const { program, recorded } = await made.#programs.get(`batch ${i}`, (rec) =>
        record(rec, model, batch, { ...options, rows }),
      );
      made.#parts.push({ batch, program, noted: recorded });
    }
    return made;
  }

  get bytes(): number {
    return this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  /** The layers in the order of the model, the features last. */
  async read(): Promise<SeenLayer[]> {
    const parts: Map<string, { values: Float32Array; peak: number; squares: number | undefined; width: number }>[] = [];
    for (const { batch, program, noted } of this.#parts) {
      fillInputs(program, batch);
      if (program.takes("targets")) {
        fillTargets(program, batch);
        program.write("weights", meanWeights(targetsOf(batch), this.#total));
      }
      program.run({ step: 1, accumulate: 0, seed: 0 });
      const own = new Map<string, { values: Float32Array; peak: number; squares: number | undefined; width: number }>();
      for (const { layer, width, real, hasGradient } of noted) {
        const [values, peaks, squares] = await Promise.all([
          program.read(`rows of ${layer}`),
          program.read(`peaks of ${layer}`),
          hasGradient ? program.read(`squares of ${layer}`) : undefined,
        ]);
        const peak = real.reduce((most, row) => Math.max(most, peaks[row]!), 0);
        own.set(layer, { values, peak, squares: squares && real.reduce((sum, row) => sum + squares[row]!, 0), width });
      }
      parts.push(own);
    }
    return [...(parts[0] ?? [])].map(([layer, { width }]) => {
      const own = parts.flatMap((part) => part.get(layer) ?? []);
      const values = new Float32Array(own.reduce((sum, part) => sum + part.values.length, 0));
      let at = 0;
      for (const part of own) {
        values.set(part.values, at);
        at += part.values.length;
      }
      const squares = own.flatMap((part) => part.squares ?? []);
      return {
        ...{ layer, width, values, largest: Math.max(...own.map(({ peak }) => peak)) },
        gradient: squares.length > 0 ? Math.sqrt(squares.reduce((a, b) => a + b, 0)) : undefined,
      };
    });
  }

  free(): void {
    this.#programs.free();
  }
}
