/**
 * A quadratic penalty on the way from an anchor, as a change of the gradient:
 *
 *   lambda / 2 sum_i F_i (theta_i - theta*_i)^2
 *
 * F is an importance of every weight: the diagonal of the Fisher information (EWC, Kirkpatrick et al., PNAS 2017,
 * https://arxiv.org/abs/1612.00796), the path integral of SI, the sensitivity of MAS; 1 for all in L2-SP (Li et al.,
 * ICML 2018, https://arxiv.org/abs/1802.01483). The online form takes later importances in, F <- gamma F + F_new
 * (Schwarz et al., ICML 2018, https://arxiv.org/abs/1805.06370).
 *
 * Memory: a copy of the trained weights, and importances as large as they are in f32. Both are saved with the run.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { dynamic } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";

export interface PenaltyOptions {
  /** lambda; 0 changes nothing. */
  readonly weight: number;
  /** Whether weights have importances, 0 until `add`; else every F is 1. */
  readonly weighed: boolean;
  /** Tells it from other penalties of a training; "penalty" when left out. */
  readonly name?: string;
}

interface Held {
  readonly parameter: Parameter;
  readonly anchor: Parameter;
  readonly importance: Parameter | undefined;
}

export class QuadraticPenalty implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #weight: number;
  readonly #held: readonly Held[];
  readonly #programs: Programs;

  /** The anchor is where the weights are. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], { weight, weighed, name = "penalty" }: PenaltyOptions) {
    this.name = name;
    this.#gpu = gpu;
    this.#weight = weight;
    this.#programs = new Programs(gpu);
    this.#held = parameters.map((parameter) => {
      const { name, shape, dtype, size } = parameter;
      const importance = weighed ? new Parameter(gpu, `importance of ${name}`, shape, "f32", false) : undefined;
      if (importance) gpu.clear(importance.buffer, Math.max(16, 4 * size));
      return { parameter, anchor: new Parameter(gpu, `anchor of ${name}`, shape, dtype, false), importance };
    });
    this.kept = this.#held.flatMap(({ anchor, importance }) => [anchor, ...(importance ? [importance] : [])]);
    this.anchor();
  }

  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Moves the anchor to where the weights are. */
  anchor(): void {
    for (const { parameter, anchor } of this.#held)
      this.#gpu.copy(parameter.buffer, 0, anchor.buffer, 0, Math.ceil(parameter.bytes / 4) * 4);
  }

  /** Sets F of values of a weight, from `start` on. */
  set(parameter: Parameter, start: number, values: Float32Array): void {
    const importance = this.#held.find((held) => held.parameter === parameter)?.importance;
    if (!importance) throw new RangeError(`the penalty ${this.name} has no importance of ${parameter.name}`);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#gpu.write(importance.buffer, 4 * start, bytes);
  }

  /** F <- keep F + share found, (size) f32 of every weight. */
  async add(found: (parameter: Parameter) => GPUBuffer, keep = 1, share = 1): Promise<void> {
    const programs = new Programs(this.#gpu); // what is found lies elsewhere another time
    const { program } = await programs.get("add", (rec) => {
      for (const { parameter, importance } of this.#held) {
        if (!importance) throw new RangeError(`the penalty ${this.name} has no importances`);
        const { name, shape } = parameter;
        const x = rec.state(`found of ${name}`, shape, found(parameter));
        recordAddScaled(rec, x, rec.state(importance.name, shape, importance.buffer));
      }
    });
    program.run({ a: share, b: keep });
    programs.free();
  }

  async before(): Promise<void> {
    if (this.#weight === 0) return;
    const { program } = await this.#programs.get("pull", (rec) => {
      for (const { parameter, anchor, importance } of this.#held) {
        const { name, shape, size, dtype } = parameter;
        const held = {
          weight: rec.state(name, shape, parameter.buffer, dtype),
          anchor: rec.state(anchor.name, shape, anchor.buffer, dtype),
          ...(importance ? { importance: rec.state(importance.name, shape, importance.buffer) } : {}),
          gradient: rec.state(`gradient of ${name}`, shape, parameter.gradient),
        };
        for (const { count, of } of stretches(rec, size))
          rec.step({
            kernel: "training/pull",
            flags: [...(dtype === "bf16" ? ["weight_bf16"] : []), ...(importance ? ["weighed"] : [])],
            bind: Object.fromEntries(Object.entries(held).map(([name, x]) => [name, of(x)])),
            params: { n4: Math.ceil(count / 4), a: dynamic("a") },
            groups: spanGroups(Math.ceil(count / 4)),
          });
      }
    });
    program.run({ a: this.#weight });
  }

  free(): void {
    this.#programs.free();
    for (const parameter of this.kept) parameter.free();
  }
}
