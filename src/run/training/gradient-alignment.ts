/**
 * Adds one gradient to another after taking away the part of it that goes against the other: gradient surgery in one
 * direction. Yu et al., NeurIPS 2020, https://arxiv.org/abs/2001.06782; as Yang et al. 2024 use it,
 * https://arxiv.org/abs/2411.08937
 *
 *   g <- kept + g - min(0, <g, kept>) / |kept|^2 kept
 *
 * Products are over all parameters together. Memory: one copy of the gradients. Nothing is read back. As an update
 * rule it keeps the gradient of the objective's first part, and takes from the second what goes against it.
 */

import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { add, addScalar, clamp, div, neg } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import type { PassOptions, UpdateRule } from "./update-rule.ts";

export class GradientAlignment implements UpdateRule {
  readonly name = "alignment";
  readonly #gpu: Gpu;
  readonly #parts: readonly { readonly parameter: Parameter; readonly kept: PooledBuffer }[];
  readonly #programs: Programs;

  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#parts = parameters.map((parameter) => ({
      parameter,
      kept: gpu.buffer(Math.max(16, 4 * parameter.size), `kept gradient of ${parameter.name}`),
    }));
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#parts.reduce((sum, { kept }) => sum + kept.bytes, 0);
  }

  async combine(
    _: number,
    [first, second]: readonly string[],
    pass: (part: string, options: PassOptions) => Promise<void>,
  ): Promise<void> {
    await pass(first!, { fresh: true, report: true });
    this.keep();
    await pass(second!, { fresh: true, report: true });
    await this.add();
  }

  /** Remembers the gradients there are. */
  keep(): void {
    for (const { parameter, kept } of this.#parts)
      this.#gpu.copy(parameter.gradient, 0, kept.buffer, 0, 4 * parameter.size);
  }

  #record(rec: Recorder): void {
    const parts = this.#parts.map(({ parameter: { name, shape, size, gradient }, kept }) => ({
      size,
      gradient: rec.state(`gradient of ${name}`, shape, gradient),
      kept: rec.state(`kept gradient of ${name}`, shape, kept.buffer),
    }));
    const total = (of: (part: (typeof parts)[number]) => Tensor) => parts.map(of).reduce((a, b) => add(rec, a, b));
    const against = clamp(
      rec,
      total(({ gradient, kept }) => dot(rec, gradient, kept)),
      -3.4e38,
      0,
    ); // (1)
    const square = clamp(
      rec,
      total(({ kept }) => dot(rec, kept, kept)),
      1e-30,
      3.4e38,
    ); // (1)
    const factor = addScalar(rec, neg(rec, div(rec, against, square)), 1);
    for (const { size, gradient, kept } of parts)
      rec.step({
        kernel: "reduce/scaled-by",
        bind: { x: kept, factor, y: gradient },
        params: { count: size, scale: 1, accumulate: 1 },
        groups: spanGroups(size),
      });
  }

  /** Makes the gradients there are agree with those kept, and adds them. */
  async add(): Promise<void> {
    const { program } = await this.#programs.get("add", (rec) => this.#record(rec));
    program.run();
  }

  free(): void {
    this.#programs.free();
    for (const { kept } of this.#parts) kept.free();
  }
}
