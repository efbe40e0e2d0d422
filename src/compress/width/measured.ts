/**
 * How much units matter on rows, by what the layer behind them reads:
 *
 *   activation  root mean square of a unit's values, times the norm of the weights that read them
 *   taylor      sum over tokens of |sum over a unit's values of x dL/dx|, the loss without the unit to first order
 *
 * L is the mean cross-entropy of the rows. Molchanov et al., CVPR 2019, https://arxiv.org/abs/1906.10771, as gates on
 * what is read; Muralidharan et al., NeurIPS 2024, https://arxiv.org/abs/2407.14679, for activations.
 */
import { type Batch, batchKey } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import type { Reading } from "../../model/structure/reads.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { maskOf } from "../../run/gram/gram-matrices.ts";
import { Programs } from "../../run/programs.ts";
import { abs, mul, square } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { columnSums, rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";

export interface MeasureOptions {
  readonly by: "activation" | "taylor";
  readonly signal: AbortSignal;
  done?(rows: number): void;
}

/** Sums over tokens of a number of each unit: (N, units) -> output. `mask` (N, 1): 1, or 0 for padding. */
function sumUnits(rec: Recorder, values: Tensor, { module, space, size }: Reading, mask: Tensor | undefined): void {
  const { rows } = rowsOf(values);
  const whole = size === 1 ? values : rowSum(rec, rec.reshape(values, [rows * space.units, size]));
  const own = rec.reshape(whole, [rows, space.units]);
  const counted = mask && rowsOf(mask).rows === rows ? mul(rec, own, mask) : own;
  const sums = rec.scratch([space.units], `sums of ${module}`);
  columnSums(rec, counted, { into: sums, accumulate: 0 });
  rec.output(`sums of ${module}`, sums);
}

/** Records the passes; gives the modules that were read. */
function record(
  rec: Recorder,
  model: Model,
  batch: Batch,
  readings: ReadonlyMap<string, Reading>,
  by: MeasureOptions["by"],
): string[] {
  const read = new Map<string, Tensor>();
  const { hidden, head } = model.record(rec, recordInputs(rec, batch), {
    observe(module, x) {
      if (readings.has(module)) read.set(module, by === "taylor" ? rec.watched(x) : x);
    },
  });
  const places = maskOf(batch)?.length;
  const mask = places === undefined ? undefined : rec.input("mask", [places, 1]);
  if (by === "taylor") {
    const targets = recordTargets(rec, batch);
    const losses = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets });
    rec.output("losses", losses);
    rec.backward([[losses, rec.input("weights", targets.shape)]]);
  } else rec.output("hidden", hidden);
  for (const [module, reading] of readings) {
    const x = read.get(module);
    if (!x) continue;
    const gradient = by === "taylor" ? rec.incoming(x) : x;
    if (!gradient) continue;
    const values = by === "taylor" ? mul(rec, x, gradient) : square(rec, x);
    if (by === "activation") sumUnits(rec, values, reading, mask);
    else sumUnits(rec, abs(rec, wholeUnits(rec, values, reading)), { ...reading, size: 1 }, mask);
  }
  return [...read.keys()];
}

/** (N, units * size) -> (N, units), summed with their signs. */
function wholeUnits(rec: Recorder, values: Tensor, { space, size }: Reading): Tensor {
  const { rows } = rowsOf(values);
  if (size === 1) return values;
  return rec.reshape(rowSum(rec, rec.reshape(values, [rows * space.units, size])), [rows, space.units]);
}

/** Sums over the weights that read each unit of their squares. */
async function readNorms(model: Model, { module, space, size }: Reading): Promise<Float64Array> {
  const weight = model.parameters.get(`${module}.weight`);
  if (!weight) throw new RangeError(`${module} has no weight`);
  const values = await model.gpu.readFloats(weight.buffer, weight.size);
  const sums = new Float64Array(space.units);
  const inputs = space.units * size;
  const outputs = weight.size / inputs;
  const isInFirst = model.isInFirst(weight);
  for (const [i, x] of values.entries()) {
    const place = isInFirst ? Math.floor(i / outputs) : i % inputs;
    sums[Math.floor(place / size)]! += x * x;
  }
  return sums.map(Math.sqrt);
}

/** By space, a score of each unit. The model's weights are held in f32. Host memory: one matrix at a time. */
export async function measured(
  model: Model,
  batches: readonly Batch[],
  readings: ReadonlyMap<string, Reading>,
  { by, signal, done }: MeasureOptions,
): Promise<ReadonlyMap<string, Float64Array>> {
  const programs = new Programs<readonly string[]>(model.gpu, { toInputs: by === "taylor" });
  const found = new Map([...readings.values()].map(({ space }) => [space.id, new Float64Array(space.units)]));
  const total = batches.reduce((sum, { counted }) => sum + counted, 0);
  let tokens = 0;
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program, recorded } = await programs.get(batchKey(batch), (rec) =>
        record(rec, model, batch, readings, by),
      );
      fillInputs(program, batch);
      const mask = maskOf(batch);
      if (mask && program.takes("mask")) program.write("mask", mask);
      tokens += mask ? mask.reduce((a, b) => a + b, 0) : batch.rows;
      if (by === "taylor") program.write("weights", meanWeights(fillTargets(program, batch), total));
      program.run({ accumulate: 0, seed: 0 });
      for (const module of recorded) {
        const reading = readings.get(module);
        const sums = reading && found.get(reading.space.id);
        if (!sums) continue;
        for (const [i, x] of (await program.read(`sums of ${module}`)).entries()) sums[i]! += x;
      }
      done?.(batch.rows);
    }
    if (by === "taylor") return found;
    for (const reading of readings.values()) {
      const sums = found.get(reading.space.id)!;
      const norms = await readNorms(model, reading);
      for (const [i, x] of sums.entries()) sums[i] = Math.sqrt(x / Math.max(1, tokens)) * norms[i]!;
    }
    return found;
  } finally {
    programs.free();
  }
}
