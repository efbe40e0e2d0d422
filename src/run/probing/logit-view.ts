/**
 * The logits whose growth comes before a training falls apart: the largest score of every layer's attention, and the
 * log-partition log Z of the outputs. Wortsman et al. 2023, https://arxiv.org/abs/2309.14322, sections 3.1 and 3.2
 *
 * GPU memory: the activations of a batch, with one matrix of scores of all its heads.
 */
import { type Batch, isPairs } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { attentionPeaks } from "../../tensor/ops/attention-map.ts";
import { add, exp, log, sub } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import { rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { realRows } from "./real-rows.ts";

export interface SeenLogits {
  /** Largest score of attention by layer; of a model without attention none. */
  readonly attention: ReadonlyMap<number, number>;
  /** Of log Z over the positions that count: mean, mean square and largest magnitude. */
  readonly partition: { readonly mean: number; readonly square: number; readonly largest: number };
}

/** log sum exp of every row, (N, V) -> (N). */
function logSums(rec: Recorder, logits: Tensor): Tensor {
  const peak = rowMax(rec, logits);
  const [rows = 1] = peak.shape;
  const sums = rowSum(rec, exp(rec, sub(rec, logits, rec.reshape(peak, [rows, 1]))));
  return add(rec, peak, log(rec, sums));
}

export class LogitView {
  readonly #programs: Programs<readonly number[]>;
  readonly #parts: { readonly batch: Batch; readonly program: Program; readonly layers: readonly number[] }[] = [];

  private constructor(model: Model) {
    this.#programs = new Programs(model.gpu);
  }

  /** Compiles what it needs. Throws TypeError for pairs of texts. */
  static async make(model: Model, batches: readonly Batch[]): Promise<LogitView> {
    const made = new LogitView(model);
    for (const [i, batch] of batches.entries()) {
      if (isPairs(batch)) throw new TypeError("pairs of texts have no logits of their own");
      const { program, recorded } = await made.#programs.get(`batch ${i}`, (rec) => {
        const { hidden, head, attended } = model.record(rec, recordInputs(rec, batch));
        for (const [layer, { q, k, options }] of attended)
          rec.output(`peaks of ${layer}`, attentionPeaks(rec, q, k, options));
        const given = { hidden, head, width: model.sizes.outputs, along: [] };
        rec.output("log sums", chunkedHead(rec, { ...given, loss: (logits) => logSums(rec, logits) }));
        return [...attended.keys()];
      });
      made.#parts.push({ batch, program, layers: recorded });
    }
    return made;
  }

  get bytes(): number {
    return this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  async read(): Promise<SeenLogits> {
    const attention = new Map<number, number>();
    let [count, sum, squares, largest] = [0, 0, 0, 0];
    for (const { batch, program, layers } of this.#parts) {
      fillInputs(program, batch);
      program.run();
      const sums = await program.read("log sums");
      for (const [row, target] of targetsOf(batch).entries()) {
        if (target < 0) continue;
        const z = sums[row]!;
        count++;
        sum += z;
        squares += z * z;
        largest = Math.max(largest, Math.abs(z));
      }
      for (const layer of layers) {
        const peaks = await program.read(`peaks of ${layer}`); // (B, H, T)
        const { shape } = program.outputBuffer(`peaks of ${layer}`);
        const [rows = 1, heads = 1, length = 1] = shape;
        let most = attention.get(layer) ?? Number.NEGATIVE_INFINITY;
        for (const place of realRows(batch, rows * length))
          for (let head = 0; head < heads; head++) {
            const row = Math.floor(place / length);
            most = Math.max(most, peaks[(row * heads + head) * length + (place % length)]!);
          }
        attention.set(layer, most);
      }
    }
    return { attention, partition: { mean: sum / count, square: squares / count, largest } };
  }

  free(): void {
    this.#programs.free();
  }
}
