/** A moving average of the weights that are trained, which answers beside them and never takes their place. */
import type { Json } from "../../json.ts";
import type { Model } from "../../model/model.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import { WeightAverage } from "../../run/training/weight-average.ts";
import type { Parameter } from "../../tensor/parameter.ts";

export class TargetAverage implements UpdateRule {
  readonly name = "target-average";
  /** For `Recorder.standingIn`. */
  readonly standIns: ReadonlyMap<Parameter, Parameter>;
  readonly #average: WeightAverage;

  /** Throws UserError for weights in bf16. */
  constructor(model: Model, decay: number) {
    const trained = model.trainable();
    this.#average = new WeightAverage(model.gpu, trained, { decay, fromStart: true });
    this.standIns = new Map(trained.map((parameter, i) => [parameter, this.#average.kept[i]!]));
  }

  get kept(): readonly Parameter[] {
    return this.#average.kept;
  }

  /** It begins as the weights before the first step. */
  ahead(): void {
    this.#average.before();
  }

  after(step: number): Promise<void> {
    return this.#average.after(step);
  }

  state(): Json {
    return this.#average.state();
  }

  load(state: Json): void {
    this.#average.load(state);
  }

  free(): void {
    this.#average.free();
  }
}
