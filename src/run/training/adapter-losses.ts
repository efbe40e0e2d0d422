/** The losses that an adapter has of its own, beside those of an objective. */
import { lossesOf } from "../../model/adapters/told.ts";
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { RecordedLoss } from "./objective.ts";

/** Input (1): what the batch counts of the step. */
const SHARE = "share of the step";

/** The mean of tensors of one value. */
const meanOf = (rec: Recorder, values: readonly Tensor[]): Tensor =>
  scale(
    rec,
    values.reduce((a, b) => add(rec, a, b)),
    1 / values.length,
  );

/** A recorded loss with the terms that the adapter handed over while it was recorded. */
export function withAdapterLosses(rec: Recorder, recorded: RecordedLoss): RecordedLoss {
  const terms = Map.groupBy(lossesOf(rec), ({ name }) => name);
  if (terms.size === 0) return recorded;
  const share = rec.input(SHARE, [1]);
  const backward = [...recorded.backward];
  const metrics: Record<string, Tensor> = { ...recorded.metrics };
  for (const [name, own] of terms) {
    const mean = meanOf(
      rec,
      own.map(({ value }) => value),
    );
    const { weight } = own[0]!;
    metrics[name] = mul(rec, mean, share);
    if (weight === 0) continue;
    backward.push([mean, scale(rec, share, weight)]);
    metrics.loss = add(rec, metrics.loss!, scale(rec, metrics[name], weight));
  }
  return { backward, metrics };
}

/** Fills what `withAdapterLosses` declared; `share` is what the batch counts of the step, all its parts together. */
export function fillAdapterLosses(program: Program, share: number): void {
  if (program.takes(SHARE)) program.write(SHARE, Float32Array.of(share));
}
