/** What a model says of its inputs, by itself or mixed with another, as recorded steps. */
import type { Inputs } from "../../model/architecture.ts";
import type { Depth } from "../../model/depth.ts";
import type { Model } from "../../model/model.ts";
import { type MixtureKind, mixedLogits } from "../../tensor/ops/mixture.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Gate } from "../mixing/gate.ts";
import { recordGated } from "../mixing/gated-outputs.ts";

/** Another model whose outputs are mixed with a model's own. */
export interface ScoredWith {
  readonly model: Model;
  readonly kind: MixtureKind;
  /** Weight of the other model, from 0 to 1; the own one has the rest. */
  readonly weight: number;
  /** Factor of the own model's logits before they are mixed. */
  readonly sharpness: number;
  /** Factor of the other model's logits; 1 when left out. */
  readonly otherSharpness?: number;
  /** Weighs the other model for every input of a classifier, in place of `weight` and both factors. */
  readonly gate?: Gate | undefined;
}

/** The models that are heard, those with no weight left out. */
function voicesOf(own: Model, { model, weight = 0, sharpness = 1, otherSharpness = 1 }: Partial<ScoredWith> = {}) {
  const voice = { model: own, weight: 1 - weight, sharpness };
  const all = model ? [voice, { model, weight, sharpness: otherSharpness }] : [voice];
  return all.filter((each) => each.weight > 0);
}

/**
 * Records the forward passes. Gives the logits of the i-th `rows` rows, recorded when they are asked for: logits of all
 * rows may be too many to exist at once.
 */
export function recordOutputs(
  rec: Recorder,
  inputs: Inputs,
  model: Model,
  mixed: ScoredWith | undefined,
  { rows = Number.POSITIVE_INFINITY, depth }: { readonly rows?: number; readonly depth?: Depth | undefined } = {},
): (part: number) => Tensor {
  if (mixed?.gate) {
    if ("ids" in inputs) throw new TypeError("a gate takes x, not token ids");
    const { logits } = recordGated(rec, inputs, { accurate: model, robust: mixed.model, gate: mixed.gate });
    const parts = rec.split(logits, rows);
    return (part) => parts[part]!;
  }
  const voices = voicesOf(model, mixed).map(({ model, weight, sharpness }) => {
    const { hidden, head } = model.record(rec, inputs, { depth });
    return { parts: rec.split(hidden, rows), head, weight, sharpness };
  });
  return (part) => {
    const shares = voices.map(({ parts, head, ...share }) => ({ ...share, logits: head(parts[part]!) }));
    return mixedLogits(rec, mixed?.kind ?? "logits", shares);
  };
}
