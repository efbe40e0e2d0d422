/**
 * The gradient of every row's loss in few numbers, whose inner products are those of the gradients on average: a
 * CountSketch of all trained weights (Charikar, Chen, Farach-Colton 2002, https://doi.org/10.1007/3-540-45465-9_59).
 *
 *   E <s(g), s(h)> = <g, h>,  standard deviation at most sqrt(2 / width) |g| |h|
 *
 * What stands for a random projection (Park et al. 2023, Xia et al. 2024) at a cost of one operation a weight, not one
 * a weight and number. GPU memory besides the model: a gradient of every weight.
 */
import { batchKey, collate } from "../../data/batch.ts";
import { countedTokens } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Model } from "../../model/model.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";

/** Sketches that are read back at once. */
const READ = 64;

/** The most numbers of a sketch: parts of larger tensors begin at multiples of it. */
export const WIDEST = 16384;

/** Throws UserError unless a width is a power of two that kernels know. */
export function checkSketchWidth(width: number, flag: string): void {
  if (width >= 64 && width <= WIDEST && Math.log2(width) % 1 === 0) return;
  throw new UserError(`${flag} ${width} is no power of two from 64 to ${WIDEST}`, "for example 1024");
}

export interface SketchSettings {
  readonly width: number;
  readonly seed: number;
}

/**
 * Records that a vector (N) is added to the sketch at the dynamic value `row` of `sums` (R, width). `name` and the seed
 * choose its signs and places.
 */
export function recordSketch(
  rec: Recorder,
  { vector, size, name }: { readonly vector: Tensor; readonly size: number; readonly name: string },
  sums: Tensor,
  { width, seed }: SketchSettings,
): void {
  const unit = keyedUnits(seed, `sketch of ${name}`);
  const [key_x, key_y] = [Math.floor(unit() * 2 ** 32), Math.floor(unit() * 2 ** 32)];
  for (const { start: first, count: n, of } of stretches(rec, size))
    rec.step({
      kernel: "training/sketch",
      bind: { gradient: of(vector), sums },
      params: { n, first, width, row: dynamic("row"), key_x, key_y },
      groups: [width / 64],
    });
}

/** Takes sketches of the gradients that programs leave in a model's weights, some at a time. */
export class Sketcher {
  readonly #model: Model;
  readonly #settings: SketchSettings;
  readonly #programs: Programs;

  constructor(model: Model, settings: SketchSettings) {
    [this.#model, this.#settings] = [model, settings];
    this.#programs = new Programs(model.gpu);
  }

  /**
   * The sketch (width) of the gradient that `leave` makes for each item, in order. Gradients are 0 before the first,
   * and `leave` writes over the one before.
   */
  async *of<T>(items: readonly T[], leave: (item: T) => Promise<void>): AsyncGenerator<readonly [T, Float64Array]> {
    const { gpu } = this.#model;
    const { width } = this.#settings;
    const parameters = this.#model.trainable();
    const bytes = 4 * READ * width;
    const memory = gpu.buffer(bytes, "sketches");
    try {
      for (const { gradient, size } of parameters) gpu.clear(gradient, Math.max(16, 4 * size));
      const { program: sketch } = await this.#programs.get("sketch", (rec) => {
        const sums = rec.state("sketches", [READ, width], memory.buffer);
        for (const { name, shape, size, gradient } of parameters) {
          const vector = rec.state(`gradient of ${name}`, shape, gradient);
          recordSketch(rec, { vector, size, name }, sums, this.#settings);
        }
      });
      for (let from = 0; from < items.length; from += READ) {
        const part = items.slice(from, from + READ);
        gpu.clear(memory.buffer, bytes);
        for (const [row, item] of part.entries()) {
          await leave(item);
          sketch.run({ row });
        }
        const found = await gpu.readFloats(memory.buffer, READ * width, 0);
        for (const [row, item] of part.entries())
          yield [item, Float64Array.from(found.subarray(row * width, (row + 1) * width))];
      }
    } finally {
      this.#programs.free();
      memory.free();
    }
  }
}

/**
 * Sketches of the gradients of mean losses, one per sequence; NaN where no token counts. Throws UserError (exit 1) for
 * a loss that is not finite. `done` hears of every sequence.
 */
export async function gradientSketches(
  model: Model,
  sequences: readonly Sequence[],
  settings: SketchSettings & { readonly pad: number; readonly signal: AbortSignal },
  done?: (rows: number) => void,
): Promise<Float64Array[]> {
  const { width, pad, signal } = settings;
  const objective = crossEntropyObjective(model);
  const gradients = new Programs(model.gpu, { training: true });
  const counted = sequences.filter((sequence) => countedTokens(sequence) > 0);
  const known = new Map<Sequence, Float64Array>();
  const leave = async (sequence: Sequence) => {
    signal.throwIfAborted();
    done?.(1);
    const batch = collate([[sequence]], { pad });
    const { program } = await gradients.get(batchKey(batch), (rec) => {
      const { backward, metrics } = objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0, seed: 0 });
  };
  try {
    for await (const [sequence, own] of new Sketcher(model, settings).of(counted, leave)) {
      if (!own.every(Number.isFinite)) throw notFiniteGradient(sequence.place);
      known.set(sequence, own);
    }
    done?.(sequences.length - counted.length);
    return sequences.map((sequence) => known.get(sequence) ?? new Float64Array(width).fill(Number.NaN));
  } finally {
    gradients.free();
  }
}

export const notFiniteGradient = (place: string): UserError =>
  new UserError(
    `the gradient on ${place} is not finite`,
    "the model's own weights are not finite, or this row is not for it",
    1,
  );
