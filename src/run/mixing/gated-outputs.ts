/** The outputs of two classifiers whose probabilities a gate mixes. */
import type { ExampleInputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { mixedLogits } from "../../tensor/ops/mixture.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Gate } from "./gate.ts";

/** Two models and their gate. */
export interface Gated {
  readonly accurate: Model;
  readonly robust: Model;
  readonly gate: Gate;
}

/**
 * Logits (B, classes) of the mixture, and what decides the robust model's weight, (B, 1). `learning`: as Gate.record.
 *
 *   z = log((1 - a) softmax(s_g g) + a softmax(s_h h))
 */
export function recordGated(
  rec: Recorder,
  inputs: ExampleInputs,
  { accurate, robust, gate }: Gated,
  options: { readonly learning?: boolean } = {},
): { readonly logits: Tensor; readonly gated: Tensor } {
  const [g, h] = [accurate.record(rec, inputs), robust.record(rec, inputs)];
  const gated = gate.record(rec, [g, h], inputs.batch, options);
  const weights = gate.logWeights(rec, gated);
  const { sharpness } = gate.settings;
  const logits = mixedLogits(rec, "probabilities", [
    { logits: g.head(g.hidden), weight: 1, logWeight: weights.accurate, sharpness: sharpness.accurate },
    { logits: h.head(h.hidden), weight: 1, logWeight: weights.robust, sharpness: sharpness.robust },
  ]);
  return { logits, gated };
}
