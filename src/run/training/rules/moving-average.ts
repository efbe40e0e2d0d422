/**
 * A moving average of the weights beside the training, which takes their place at its end, with a share that is set at
 * every step (DEMA: Qiao et al., ICML 2025, https://arxiv.org/abs/2410.10868):
 *
 *   theta* <- (1 - alpha) theta* + alpha theta      from theta* = the weights before the first step
 *
 * alpha is that of each weight by itself, from its distance to the average and from gradients:
 *
 *   a = |theta - theta*|_1   b = |g|_1   c = |g - g_before|_1     alpha = 2 (1 + b) / (a c)
 *
 * and is 0.01 where that is not in (0, 1) or there is no step before: a large curvature or distance keeps what was
 * learnt before. Everything stays on the GPU. Memory: a copy of the trained weights, and one of their gradients. An
 * average of one share is weight-average.ts's.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import type { Json } from "../../../json.ts";
import type { Model } from "../../../model/model.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { Programs } from "../../programs.ts";
import type { UpdateRule } from "../update-rule.ts";
import { refuseCoarse, WeightAverage } from "../weight-average.ts";

const SUM_VALUES = 16384; // of wgsl/training/dema-sums.wgsl

/** alpha where DEMA's formula gives none. */
export const FALLBACK = 0.01;

/** Where the absolute sums of a weight lie. */
interface Sums {
  readonly first: number;
  readonly count: number;
}

interface Held {
  readonly parameter: Parameter;
  readonly average: Parameter;
  /** The gradient of the step before. */
  readonly previous: Parameter;
}

export class DynamicAverage implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #held: readonly Held[];
  readonly #programs: Programs;
  #steps = 0;

  /** Throws UserError for weights in bf16. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], name = "ema") {
    refuseCoarse(parameters);
    this.name = name;
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#held = parameters.map((parameter) => {
      const { name, shape } = parameter;
      const average = new Parameter(gpu, `average of ${name}`, shape, "f32", false);
      const previous = new Parameter(gpu, `gradient before of ${name}`, shape, "f32", false);
      return { parameter, average, previous };
    });
    this.kept = this.#held.flatMap(({ average, previous }) => [average, previous]);
  }

  /** The average begins at the weights before the first step. */
  before(): void {
    if (this.#steps > 0) return;
    for (const { parameter, average, previous } of this.#held) {
      this.#gpu.copy(parameter.buffer, 0, average.buffer, 0, 4 * parameter.size);
      this.#gpu.clear(previous.buffer, 4 * parameter.size);
    }
  }

  async after(): Promise<void> {
    const { program } = await this.#programs.get("average", (rec) => this.#record(rec));
    program.run({ known: this.#steps > 0 ? 1 : 0 });
    this.#steps++;
  }

  #record(rec: Recorder): void {
    const places: Sums[] = [];
    let total = 0;
    for (const { parameter } of this.#held) {
      const count = Math.max(1, Math.ceil(parameter.size / SUM_VALUES));
      places.push({ first: total, count });
      total += count;
    }
    const sums = rec.scratch([3 * Math.max(1, total)], "absolute sums");
    const held = this.#held.map(({ parameter: { name, shape, size, buffer, gradient }, average, previous }) => ({
      size,
      weight: rec.state(name, shape, buffer),
      average: rec.state(average.name, shape, average.buffer),
      gradient: rec.state(`gradient of ${name}`, shape, gradient),
      previous: rec.state(previous.name, shape, previous.buffer),
    }));
    for (const [i, { size, weight, average, gradient, previous }] of held.entries())
      for (const { start, count: n, of } of stretches(rec, size))
        rec.step({
          kernel: "training/dema-sums",
          bind: { weight: of(weight), average: of(average), gradient: of(gradient), previous: of(previous), sums },
          params: { n, start: places[i]!.first + start / SUM_VALUES },
          groups: spanGroups(n, SUM_VALUES),
        });
    for (const [i, { size, weight, average }] of held.entries())
      for (const { count: n, of } of stretches(rec, size))
        rec.step({
          kernel: "training/dema-step",
          bind: { weight: of(weight), sums, average: of(average) },
          params: { n, ...places[i]!, known: dynamic("known"), fallback: FALLBACK },
          groups: spanGroups(n),
        });
  }

  /** The average takes the weights' place. */
  end(): void {
    if (this.#steps === 0) return;
    for (const { parameter, average } of this.#held)
      this.#gpu.copy(average.buffer, 0, parameter.buffer, 0, 4 * parameter.size);
  }

  state(): Json {
    return { steps: this.#steps };
  }
  load(state: Json): void {
    this.#steps = (state as { steps: number }).steps;
  }

  free(): void {
    this.#programs.free();
    for (const parameter of this.kept) parameter.free();
  }
}

/** The average that `--ema` asks for: DEMA's, or one of a decay, from the weights before the first step. */
export const movingAverage = (model: Model, decay: "dema" | number, name = "ema"): UpdateRule =>
  decay === "dema"
    ? new DynamicAverage(model.gpu, model.trainable(), name)
    : new WeightAverage(model.gpu, model.trainable(), { decay, fromStart: true, name });
