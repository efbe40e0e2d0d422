/**
 * A scale of its own for the step of every unit: of a weight, a row, a column, or a value. The step is scaled, not the
 * gradient, because an optimizer such as Adam divides a constant factor of the gradient out again. Scaled gradients are
 * there too, for comparison with others' results.
 *
 *   update  theta <- theta_before + f (theta - theta_before), after the optimizer; decay is scaled with it
 *   grad    g <- f g, before norm, clipping and optimizer
 *   both    one after the other: with f 0 or 1, no moment of the optimizer is of what stays
 *
 * Memory: the scales, and for `update` a copy of the weights that have some.
 */
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { matrixOf } from "../../fisher/unit-products.ts";
import { Programs } from "../../programs.ts";
import type { UpdateRule } from "../update-rule.ts";

/** What shares a scale, of a matrix (rows, columns). */
export type Along = "row" | "column" | "value";

export interface UnitScale {
  readonly parameter: Parameter;
  readonly along: Along;
  /** One per row, column or value. */
  readonly factors: Float32Array;
}

export interface UnitScalesOptions {
  readonly name: string;
  readonly apply: "update" | "grad" | "both";
  /** For what is rounded at random, in weights of bf16. */
  readonly seed: number;
  /** Whether the scales change, so that they are saved with the run. */
  readonly changing?: boolean;
}

interface Held {
  readonly parameter: Parameter;
  readonly along: Along;
  /** (factors) */
  readonly factors: Parameter;
  /** The weights before the step. */
  readonly before: PooledBuffer | undefined;
}

export class UnitScales implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #held: readonly Held[];
  readonly #apply: UnitScalesOptions["apply"];
  readonly #seed: number;
  readonly #programs: Programs;

  /** Weights of which there are no scales move as they would. */
  constructor(gpu: Gpu, scales: readonly UnitScale[], { name, apply, seed, changing = false }: UnitScalesOptions) {
    this.name = name;
    this.#gpu = gpu;
    this.#apply = apply;
    this.#seed = seed;
    this.#programs = new Programs(gpu);
    this.#held = scales.map(({ parameter, along, factors }) => {
      const held = new Parameter(gpu, `${name} of ${parameter.name}`, [factors.length], "f32", false);
      held.write(factors);
      const bytes = Math.max(16, parameter.bytes);
      const before = apply !== "grad" ? gpu.buffer(bytes, `${parameter.name} before the step`) : undefined;
      return { parameter, along, factors: held, before };
    });
    this.kept = changing ? this.#held.map(({ factors }) => factors) : [];
  }

  get bytes(): number {
    return this.#held.reduce((sum, { factors, before }) => sum + factors.bytes + (before?.bytes ?? 0), 0);
  }

  /** Sets the scales of the weight that came at this place. */
  set(place: number, factors: Float32Array): void {
    this.#held[place]!.factors.write(factors);
  }

  /** Where the scales of each weight are, in the order of the weights. */
  get factors(): readonly Parameter[] {
    return this.#held.map(({ factors }) => factors);
  }

  async before(): Promise<void> {
    for (const { parameter, before } of this.#held)
      if (before) this.#gpu.copy(parameter.buffer, 0, before.buffer, 0, Math.ceil(parameter.bytes / 4) * 4);
    if (this.#apply !== "update") await this.#scale("grad", 0);
  }

  async after(step: number): Promise<void> {
    if (this.#apply !== "grad") await this.#scale("step", step);
  }

  async #scale(what: "grad" | "step", step: number): Promise<void> {
    const { program } = await this.#programs.get(what, (rec) => {
      for (const [key, { before, ...held }] of this.#held.entries())
        this.#record(rec, { ...held, before: what === "step" ? before : undefined }, key);
    });
    program.run({ seed: (Math.imul(this.#seed, 0x9e3779b9) + step) >>> 0 });
  }

  #record(rec: Recorder, { parameter, along, factors, before }: Held, key: number): void {
    const { name, shape, size, gradient, buffer } = parameter;
    const dtype = before ? parameter.dtype : "f32";
    const held: Record<string, Tensor> = {
      ...(before ? { before: rec.state(`${name} before`, shape, before.buffer, dtype) } : {}),
      y: before ? rec.state(name, shape, buffer, dtype) : rec.state(`gradient of ${name}`, shape, gradient),
    };
    const factor = rec.state(factors.name, factors.shape, factors.buffer);
    // A scale per value is cut as the weight is; others are read whole.
    const isOwn = along === "value";
    for (const { index, start, count, of } of stretches(rec, size))
      rec.step({
        kernel: "training/scale-units",
        flags: [...(before ? ["step"] : []), ...(dtype === "bf16" ? ["weight_bf16"] : [])],
        bind: {
          factor: isOwn ? of(factor) : factor,
          ...Object.fromEntries(Object.entries(held).map(([name, x]) => [name, of(x)])),
        },
        params: {
          n4: Math.ceil(count / 4),
          start: isOwn ? 0 : start,
          columns: isOwn ? 1 : matrixOf(shape).columns,
          by_row: along === "column" ? 0 : 1,
          by_column: along === "column" ? 1 : 0,
          key: key + index * this.#held.length,
          seed: dynamic("seed"),
        },
        groups: spanGroups(Math.ceil(count / 4)),
      });
  }

  free(): void {
    this.#programs.free();
    for (const { factors, before } of this.#held) {
      factors.free();
      before?.free();
    }
  }
}
