/**
 * Norms of weights, gradients and the last step's change, tensor by tensor. Squares are added up on the GPU in f32,
 * some 16,384 values at a time, and in f64 from there on.
 *
 * GPU memory: a copy of what is trained, from which the change follows.
 */
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "../training/add-scaled.ts";
import { type RecordedNorm, recordGradientNorm } from "../training/gradient-norm.ts";

export interface TensorNorms {
  readonly name: string;
  readonly size: number;
  readonly weight: number;
  readonly gradient: number;
  /** Undefined before the first step. */
  readonly update: number | undefined;
}

const KINDS = ["weight", "gradient", "update"] as const;

export class NormsOfTensors {
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #before: readonly PooledBuffer[];
  readonly #norm: PooledBuffer;
  readonly #programs: Programs<RecordedNorm["ranges"]>;
  #marked = false;

  /** Throws UserError for weights that are not f32. */
  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(
        `${coarse.name} is held in ${coarse.dtype}; norms are measured of weights in f32`,
        "leave out --dtype bf16",
      );
    this.#gpu = gpu;
    this.#parameters = parameters;
    this.#programs = new Programs(gpu);
    this.#norm = gpu.buffer(16, "norm");
    this.#before = parameters.map(({ name, bytes }) => gpu.buffer(Math.max(16, bytes), `${name} before the step`));
  }

  get bytes(): number {
    return this.#before.reduce((sum, { bytes }) => sum + bytes, 0) + this.#programs.ownBytes;
  }

  /** Remembers the weights, from which the change is counted. */
  mark(): void {
    for (const [i, { buffer, size }] of this.#parameters.entries())
      this.#gpu.copy(buffer, 0, this.#before[i]!.buffer, 0, 4 * size);
    this.#marked = true;
  }

  /** Sums of squares by tensor. */
  async #squares(kind: (typeof KINDS)[number]): Promise<number[]> {
    const { program, recorded } = await this.#programs.get(kind, (rec) => {
      const tensors = this.#parameters.map(({ name, shape, buffer, gradient }, i) => {
        if (kind === "gradient") return rec.state(`gradient of ${name}`, shape, gradient);
        const weight = rec.state(name, shape, buffer);
        if (kind === "weight") return weight;
        const change = rec.state(`change of ${name}`, shape, this.#before[i]!.buffer);
        recordAddScaled(rec, weight, change);
        return change;
      });
      const { sums, ranges } = recordGradientNorm(rec, tensors, rec.state("norm", [3], this.#norm.buffer));
      rec.output("sums", sums);
      return ranges;
    });
    program.run({ a: 1, b: -1 });
    const sums = await program.read("sums");
    return recorded.map(({ start, count }) => sums.subarray(start, start + count).reduce((a, b) => a + b, 0));
  }

  /** At the weights and gradients as they are. */
  async read(): Promise<TensorNorms[]> {
    const [weights, gradients] = [await this.#squares("weight"), await this.#squares("gradient")];
    const updates = this.#marked ? await this.#squares("update") : undefined;
    this.#marked = false; // what was remembered is the change now
    return this.#parameters.map(({ name, size }, i) => ({
      ...{ name, size, weight: Math.sqrt(weights[i]!), gradient: Math.sqrt(gradients[i]!) },
      update: updates && Math.sqrt(updates[i]!),
    }));
  }

  free(): void {
    this.#programs.free();
    this.#norm.free();
    for (const held of this.#before) held.free();
  }
}
