/**
 * The model as it was after an earlier stage: copies of what is trained, while it shares the rest with the model that
 * learns. GPU memory: as much as what is trained.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What the old model says of a batch. */
export interface OldSays {
  /** (N, C) */
  readonly hidden: Tensor;
  /** Logits of rows of `hidden`, without gradient. */
  head(rec: Recorder, hidden: Tensor): Tensor;
}

export class OldWeights {
  /** The copies, by what they are copies of. */
  readonly of: ReadonlyMap<Parameter, Parameter>;
  readonly #gpu: Gpu;
  readonly #model: Model;

  /** Takes the memory; the contents are undefined until `take`, or until a state is loaded. */
  constructor(model: Model, as = "old", weights: readonly Parameter[] = [...model.trainable(), ...model.running()]) {
    this.#gpu = model.gpu;
    this.#model = model;
    this.of = new Map(
      weights.map((p) => [p, new Parameter(model.gpu, `${as}.${p.name}`, p.shape, p.dtype, false)] as const),
    );
  }

  /** Copies the weights as they are now. */
  take(): void {
    for (const [from, { buffer }] of this.of) this.#gpu.copy(from.buffer, 0, buffer, 0, Math.ceil(from.bytes / 4) * 4);
  }

  /** Gives the model these weights again. */
  give(): void {
    for (const [to, { buffer }] of this.of) this.#gpu.copy(buffer, 0, to.buffer, 0, Math.ceil(to.bytes / 4) * 4);
  }

  /** Records the old model on the inputs of the one that learns. */
  record(rec: Recorder, inputs: Inputs): OldSays {
    const { hidden, head } = rec.standingIn(this.of, () => this.#model.record(rec, inputs));
    return {
      hidden: stopGradient(rec, hidden),
      head: (rec, rows) =>
        stopGradient(
          rec,
          rec.standingIn(this.of, () => head(rows)),
        ),
    };
  }

  /** To be saved with a run. */
  get kept(): readonly Parameter[] {
    return [...this.of.values()];
  }

  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  free(): void {
    for (const copy of this.kept) copy.free();
  }
}
