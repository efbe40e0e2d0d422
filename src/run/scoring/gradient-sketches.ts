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
  const { gpu } = model;
  const parameters = model.trainable();
  const objective = crossEntropyObjective(model);
  const bytes = 4 * READ * width;
  const memory = gpu.buffer(bytes, "sketches");
  const [gradients, sketching] = [new Programs(gpu, { training: true }), new Programs(gpu)];
  const sketches: Float64Array[] = [];
  try {
    for (const { gradient, size } of parameters) gpu.clear(gradient, Math.max(16, 4 * size));
    const { program: sketch } = await sketching.get("sketch", (rec) => {
      const sums = rec.state("sketches", [READ, width], memory.buffer);
      for (const { name, shape, size, gradient } of parameters)
        recordSketch(rec, { vector: rec.state(`gradient of ${name}`, shape, gradient), size, name }, sums, settings);
    });
    for (let from = 0; from < sequences.length; from += READ) {
      const part = sequences.slice(from, from + READ);
      gpu.clear(memory.buffer, bytes);
      for (const [row, sequence] of part.entries()) {
        signal.throwIfAborted();
        done?.(1);
        if (countedTokens(sequence) === 0) continue;
        const batch = collate([[sequence]], { pad });
        const { program } = await gradients.get(batchKey(batch), (rec) => {
          const { backward, metrics } = objective.record(rec, batch, "");
          rec.output("loss", metrics.loss!);
          rec.backward(backward);
        });
        objective.fill(program, batch, objective.counted(batch, ""), "");
        program.run({ accumulate: 0, seed: 0 });
        sketch.run({ row });
      }
      const found = await gpu.readFloats(memory.buffer, READ * width, 0);
      for (const [row, sequence] of part.entries()) {
        const own = Float64Array.from(found.subarray(row * width, (row + 1) * width));
        if (!own.every(Number.isFinite))
          throw new UserError(
            `the gradient on ${sequence.place} is not finite`,
            "the model's own weights are not finite, or this row is not for it",
            1,
          );
        sketches.push(countedTokens(sequence) === 0 ? own.fill(Number.NaN) : own);
      }
    }
    return sketches;
  } finally {
    gradients.free();
    sketching.free();
    memory.free();
  }
}
