/**
 * How much each weight had to do with the fall of a loss, summed over the way that it went:
 *
 *   w <- w - g (theta_after - theta_before)     at every step
 *
 * g is the gradient that the rules before it in the list leave: that of the loss alone, where a penalty comes after it.
 * Synaptic intelligence, Zenke et al., ICML 2017, https://arxiv.org/abs/1703.04200
 *
 * GPU memory: copies of the gradients and of the weights; the sums belong to the caller.
 */
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { mul, sub } from "../../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";

interface Followed {
  readonly parameter: Parameter;
  /** The sums, (size) f32. */
  readonly path: Parameter;
  readonly gradient: PooledBuffer;
  readonly before: PooledBuffer;
}

export class PathIntegral implements UpdateRule {
  readonly name = "path";
  readonly #gpu: Gpu;
  readonly #followed: readonly Followed[];
  readonly #programs: Programs;

  /** Adds to the sums of each weight. Throws UserError for weights in bf16, whose steps are rounded. */
  constructor(gpu: Gpu, paths: ReadonlyMap<Parameter, Parameter>) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    const coarse = [...paths.keys()].find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(
        `${coarse.name} is held in ${coarse.dtype}; weights whose steps are added up must be f32`,
        "leave out --dtype bf16",
      );
    this.#followed = [...paths].map(([parameter, path]) => ({
      parameter,
      path,
      gradient: gpu.buffer(Math.max(16, 4 * parameter.size), `gradient of ${parameter.name}, put aside`),
      before: gpu.buffer(Math.max(16, 4 * parameter.size), `${parameter.name} before the step`),
    }));
  }

  get bytes(): number {
    return this.#followed.reduce((sum, { gradient, before }) => sum + gradient.bytes + before.bytes, 0);
  }

  before(): void {
    for (const { parameter, gradient, before } of this.#followed) {
      this.#gpu.copy(parameter.gradient, 0, gradient.buffer, 0, 4 * parameter.size);
      this.#gpu.copy(parameter.buffer, 0, before.buffer, 0, 4 * parameter.size);
    }
  }

  async after(): Promise<void> {
    const { program } = await this.#programs.get("add", (rec) => {
      for (const { parameter, path, gradient, before } of this.#followed) {
        const { name, shape, buffer } = parameter;
        const state = (what: string, held: GPUBuffer) => rec.state(`${what} of ${name}`, shape, held);
        const step = sub(rec, state("weight", buffer), state("weight before", before.buffer));
        recordAddScaled(rec, mul(rec, step, state("gradient", gradient.buffer)), state("path", path.buffer));
      }
    });
    program.run({ a: -1, b: 1 });
  }

  free(): void {
    this.#programs.free();
    for (const { gradient, before } of this.#followed) {
      gradient.free();
      before.free();
    }
  }
}
