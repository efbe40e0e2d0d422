/**
 * A head that foretells rewards: a number for every token and each of the rewards, or one of their sum, linear
 * functions of what the model's own head reads. It is trained beside the model and left out of the result.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { UnitScales } from "../../run/training/rules/unit-scales.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export class ValueHead {
  readonly #gpu: Gpu;
  readonly #weight: Parameter;
  readonly #bias: Parameter;

  /** How many numbers it foretells of a token. */
  readonly count: number;

  /** Begins with 0 for every token. */
  constructor({ gpu, sizes: { width } }: Model, count = 1) {
    this.#gpu = gpu;
    this.count = count;
    this.#weight = new Parameter(gpu, "align.value.weight", [count, width]);
    this.#bias = new Parameter(gpu, "align.value.bias", [count]);
    for (const parameter of this.parameters()) parameter.write(new Float32Array(parameter.size));
  }

  parameters(): Parameter[] {
    return [this.#weight, this.#bias];
  }

  /** hidden (B * T, C) -> (B, T), or of several (B, T, H): what follows the tokens up to each. */
  record(rec: Recorder, hidden: Tensor, shape: readonly number[]): Tensor {
    const foretold = linear(rec, hidden, rec.parameter(this.#weight), { bias: rec.parameter(this.#bias) });
    return rec.reshape(foretold, this.count === 1 ? shape : [...shape, this.count]);
  }

  /** The rule by which its steps are `ratio` times those of the model's weights. */
  scaled(ratio: number, seed: number): UnitScales {
    const scales = this.parameters().map((parameter) => ({
      parameter,
      along: "row" as const,
      factors: new Float32Array(this.count).fill(ratio),
    }));
    return new UnitScales(this.#gpu, scales, { name: "value-rate", apply: "update", seed });
  }

  free(): void {
    for (const parameter of this.parameters()) parameter.free();
  }
}
