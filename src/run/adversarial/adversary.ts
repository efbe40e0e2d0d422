/**
 * Adversarial examples: inputs of a classifier that are moved within a ball so that its loss grows. Projected gradient
 * ascent of Madry et al., ICLR 2018, https://arxiv.org/abs/1706.06083
 *
 *   x <- project(x + rate direction(gradient of the loss to x))
 *
 * with the sign of the gradient as direction within a box (linf), and the gradient over its length within a ball (l2),
 * by example. The projection is onto the ball about the example as it was, and then onto the range of the data.
 *
 * Where a move begins is a function of the seed and a name of the example, not of the order of batches. The model is
 * in evaluation: its weights take no gradient.
 */
import { batchKey, type NumbersBatch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { ExampleInputs } from "../../model/architecture.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { rowWork } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { fillTargets, recordTargets } from "../batch-programs.ts";
import { Programs, type ProgramsOptions } from "../programs.ts";

/** How inputs are moved. */
export interface Attack {
  readonly norm: "linf" | "l2";
  /** Radius of the ball, in units of the inputs; 0 leaves them as they are. */
  readonly epsilon: number;
  readonly steps: number;
  /** Length of a step, in units of the inputs. */
  readonly stepSize: number;
  /** Whether a move begins at a random place of the ball; else at the example. */
  readonly randomStart: boolean;
  /** Least and largest value of an input. */
  readonly range: readonly [low: number, high: number];
  readonly seed: number;
}

/** Records the logits (B, classes) of examples. */
export type RecordLogits = (rec: Recorder, inputs: ExampleInputs) => Tensor;

/**
 * What grows as inputs move: a number of each row (B), of its logits and those of the row unmoved, (B, classes) each.
 */
export type Grows = (
  rec: Recorder,
  given: { readonly logits: Tensor; readonly unmoved: () => Tensor; readonly targets: Tensor },
) => Tensor;

/** A random place of the ball of norm 1 about 0. */
export function startOf({ norm, seed }: Pick<Attack, "norm" | "seed">, size: number, name: string): Float64Array {
  const random = new Random(seed, "adversarial", name);
  if (norm === "linf") return Float64Array.from({ length: size }, () => 2 * random.uniform() - 1);
  const direction = Float64Array.from({ length: size }, () => random.normal());
  const length = Math.sqrt(direction.reduce((sum, d) => sum + d * d, 0));
  const radius = random.uniform() ** (1 / size);
  return direction.map((d) => (length === 0 ? 0 : (radius * d) / length));
}

/**
 * Records a step of ascent of x (rows, ...) along a gradient, and the projections onto the ball about x0 and the range.
 */
export function recordAscent(
  rec: Recorder,
  { norm, epsilon, stepSize: rate, range: [low, high] }: Attack,
  bind: { readonly gradient: Tensor; readonly x0: Tensor; readonly x: Tensor },
  rows: number,
): void {
  const n = sizeOf(bind.x.shape);
  if (norm === "linf") {
    const params = { n, rate, epsilon, low, high };
    rec.step({ kernel: "adversarial/linf-step", bind, params, groups: spanGroups(n) });
  } else {
    const params = { n: rows, c: n / rows, rate, epsilon, low, high };
    rec.step({ kernel: "adversarial/l2-step", bind, params, ...rowWork(rec, rows, n / rows) });
  }
}

/**
 * Moves batches of examples against a classifier, as it is now.
 *
 *   const adversary = new Adversary(model.gpu, logitsOf(model), attack);
 *   const moved = await adversary.move(batch, names);
 *   adversary.free();
 */
export class Adversary {
  readonly #gpu: Gpu;
  readonly #logits: RecordLogits;
  readonly #attack: Attack;
  readonly #grows: Grows;
  readonly #programs: Programs<PooledBuffer>;
  readonly #held: PooledBuffer[] = [];

  /** `grows`: the cross-entropy of the labels when left out. */
  constructor(
    gpu: Gpu,
    logits: RecordLogits,
    attack: Attack,
    { grows, ...memory }: Pick<ProgramsOptions, "slots"> & { readonly grows?: Grows | undefined } = {},
  ) {
    this.#gpu = gpu;
    this.#logits = logits;
    this.#attack = attack;
    this.#grows = grows ?? ((rec, { logits, targets }) => crossEntropy(rec, logits, targets));
    this.#programs = new Programs(gpu, { toInputs: true, ...memory });
  }

  #record(rec: Recorder, batch: NumbersBatch): PooledBuffer {
    const { rows, shape } = batch;
    const n = rows * sizeOf(shape);
    const held = this.#gpu.buffer(Math.max(16, 4 * n), "adversarial x");
    this.#held.push(held);
    const x = rec.watched(rec.state("x", [rows, ...shape], held.buffer));
    const x0 = rec.input("x0", [rows, ...shape]);
    const grown = this.#grows(rec, {
      logits: this.#logits(rec, { batch: rows, x }),
      unmoved: () => this.#logits(rec, { batch: rows, x: x0 }),
      targets: recordTargets(rec, batch),
    });
    rec.backward([[grown, rec.constant(new Float32Array(rows).fill(1), [rows], "ones")]]);
    const gradient = rec.incoming(x);
    if (!gradient) return held; // no weight reads the inputs
    recordAscent(rec, this.#attack, { gradient, x0, x }, rows);
    return held;
  }

  /** Examples where the moves begin, (B, ...shape). */
  #starts({ x, rows }: NumbersBatch, names: readonly string[]): Float32Array {
    const { epsilon, randomStart, range } = this.#attack;
    const [low, high] = range;
    const size = x.length / rows;
    if (!randomStart) return x;
    const made = new Float32Array(x.length);
    for (let row = 0; row < rows; row++)
      for (const [i, d] of startOf(this.#attack, size, names[row]!).entries()) {
        const at = row * size + i;
        made[at] = Math.min(high, Math.max(low, x[at]! + epsilon * d));
      }
    return made;
  }

  /** Takes the memory that batches of this shape need. */
  async prepare(batch: NumbersBatch): Promise<void> {
    if (this.#attack.epsilon > 0) await this.#programs.get(batchKey(batch), (rec) => this.#record(rec, batch));
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    const held = this.#held.reduce((sum, { bytes }) => sum + bytes, 0);
    return held + this.#programs.ownBytes + this.#programs.slots.bytes;
  }

  /** The batch with its examples moved; `names` choose where each begins. Labels are those of the batch. */
  async move(batch: NumbersBatch, names: readonly string[]): Promise<NumbersBatch> {
    if (this.#attack.epsilon === 0) return batch;
    const key = batchKey(batch);
    const { program, recorded } = await this.#programs.get(key, (rec) => this.#record(rec, batch));
    const starts = this.#starts(batch, names);
    this.#gpu.write(recorded.buffer, 0, new Uint8Array(starts.buffer, starts.byteOffset, starts.byteLength));
    if (program.takes("x0")) program.write("x0", batch.x);
    if (program.takes("targets")) fillTargets(program, batch);
    for (let step = 0; step < this.#attack.steps; step++) program.run({ seed: 0 });
    return { ...batch, x: await this.#gpu.readFloats(recorded.buffer, batch.x.length) };
  }

  /** Frees the programs; none may be under way. */
  free(): void {
    this.#programs.free();
    for (const held of this.#held.splice(0)) held.free();
  }
}
