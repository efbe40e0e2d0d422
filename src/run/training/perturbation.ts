/**
 * Moves all trained weights away and back, and reckons with whole gradients: what wrappers such as SAM are made of.
 * Nothing is read back. Memory: one copy of the trained weights, and one more for every gradient that is kept.
 */

import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { abs, add, addScalar, mul } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "./add-scaled.ts";
import { recordGradientNorm } from "./gradient-norm.ts";

/** The nearest number of 18 binary digits. */
function to18Bits(x: number): number {
  const scale = 2 ** (17 - Math.floor(Math.log2(Math.abs(x))));
  return x === 0 || !Number.isFinite(scale) ? 0 : Math.round(x * scale) / scale;
}

/** One buffer per parameter. */
export type Buffers = ReadonlyMap<Parameter, GPUBuffer>;

export class Perturbation {
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #memory: PooledBuffer[] = [];
  readonly #stores = new Map<string, Buffers>();
  readonly #programs: Programs;
  readonly #norm: GPUBuffer;

  readonly #reserved: boolean;

  /**
   * `stores`: what will be kept, "weights" or names of gradients, whose memory is taken now; at its first use when
   * left out. Throws UserError for weights in bf16: a small step away would be rounded off.
   */
  constructor(gpu: Gpu, parameters: readonly Parameter[], stores?: readonly string[]) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(
        `${coarse.name} is held in ${coarse.dtype}; weights that are moved by small steps must be f32`,
        "leave out --dtype bf16",
      );
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#parameters = parameters;
    const norm = gpu.buffer(16, "norm of a gradient");
    this.#memory.push(norm);
    this.#norm = norm.buffer;
    this.#reserved = false;
    for (const name of stores ?? []) this.#store(name);
    this.#reserved = stores !== undefined;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#memory.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #store(name: string): Buffers {
    let found = this.#stores.get(name);
    if (!found) {
      if (this.#reserved) throw new RangeError(`no memory was reserved for ${name}`);
      found = new Map(
        this.#parameters.map((parameter) => {
          const held = this.#gpu.buffer(Math.max(16, parameter.bytes), `${name} of ${parameter.name}`);
          this.#memory.push(held);
          return [parameter, held.buffer];
        }),
      );
      this.#stores.set(name, found);
    }
    return found;
  }

  /** What is kept under a name. */
  kept(name: string): Buffers {
    return this.#store(name);
  }

  get #weights(): Buffers {
    return new Map(this.#parameters.map((parameter) => [parameter, parameter.buffer]));
  }
  get #gradients(): Buffers {
    return new Map(this.#parameters.map((parameter) => [parameter, parameter.gradient]));
  }

  #copy(from: Buffers, to: Buffers): void {
    for (const parameter of this.#parameters)
      this.#gpu.copy(from.get(parameter)!, 0, to.get(parameter)!, 0, 4 * parameter.size);
  }

  /** Remembers the weights. */
  save(): void {
    this.#copy(this.#weights, this.#store("weights"));
  }
  /** Puts the weights back, bit for bit. */
  restore(): void {
    this.#copy(this.#store("weights"), this.#weights);
  }
  /** Remembers the gradients under a name. */
  keep(name: string): void {
    this.#copy(this.#gradients, this.#store(name));
  }

  #addScaled(rec: Recorder, from: Buffers, to: Buffers, byNorm: boolean): void {
    for (const parameter of this.#parameters) {
      const { shape, name } = parameter;
      const x = rec.state(`x of ${name}`, shape, from.get(parameter)!);
      const y = rec.state(`y of ${name}`, shape, to.get(parameter)!);
      recordAddScaled(rec, x, y, byNorm ? rec.state("norm", [3], this.#norm) : undefined);
    }
  }

  /** Steps of the global norm of gradients into #norm. */
  #recordNorm(rec: Recorder, from: Buffers): void {
    const gradients = this.#parameters.map((parameter) =>
      rec.state(`gradient of ${parameter.name}`, parameter.shape, from.get(parameter)!),
    );
    recordGradientNorm(rec, gradients, rec.state("norm", [3], this.#norm));
  }

  /** weights += distance * g / |g|, g the gradients or those kept under a name; |g| over all parameters. */
  async along(distance: number, kept?: string): Promise<void> {
    const from = kept === undefined ? this.#gradients : this.#store(kept);
    const { program } = await this.#programs.get(`along ${kept ?? ""}`, (rec) => {
      this.#recordNorm(rec, from);
      this.#addScaled(rec, from, this.#weights, true);
    });
    program.run({ a: distance, b: 1 });
  }

  /**
   * weights += distance * t^2 g / |t g|, t = |weight| + floor of every weight: the farther, the larger the weight; the
   * norm is over all parameters.
   */
  async alongScaled(distance: number, floor: number): Promise<void> {
    const { program } = await this.#programs.get(`scaled ${floor}`, (rec) => {
      const held = this.#parameters.map(({ name, shape, buffer, gradient }) => {
        const weight = rec.state(name, shape, buffer);
        const t = addScalar(rec, abs(rec, weight), floor);
        return { weight, t, scaled: mul(rec, t, rec.state(`gradient of ${name}`, shape, gradient)) };
      });
      const norm = rec.state("norm", [3], this.#norm);
      recordGradientNorm(
        rec,
        held.map(({ scaled }) => scaled),
        norm,
      );
      for (const { weight, t, scaled } of held) recordAddScaled(rec, mul(rec, t, scaled), weight, norm);
    });
    program.run({ a: distance, b: 1 });
  }

  /** gradients = a * kept + b * gradients. */
  async mix(kept: string, a: number, b: number): Promise<void> {
    const from = this.#store(kept);
    const { program } = await this.#programs.get(`mix ${kept}`, (rec) =>
      this.#addScaled(rec, from, this.#gradients, false),
    );
    program.run({ a, b });
  }

  /** weights += noise of standard deviation sigma, a function of seed and parameter. */
  async noise(sigma: number, seed: number): Promise<void> {
    await this.#addNoise("noise", this.#weights, sigma, seed);
  }

  /** Standard normal values in the place of what is kept under a name, a function of seed and parameter. */
  async draw(name: string, seed: number): Promise<void> {
    const into = this.#store(name);
    for (const parameter of this.#parameters) this.#gpu.clear(into.get(parameter)!, Math.max(16, 4 * parameter.size));
    await this.#addNoise(`draw ${name}`, into, 1, seed);
  }

  /**
   * weights += length * z, z a function of seed and parameter of mean 0 and variance 1: 64 coins a value, near to
   * normal. The same bits on every GPU; `length` is rounded to 18 bits for it.
   */
  async walk(length: number, seed: number): Promise<void> {
    await this.#addNoise("walk", this.#weights, to18Bits(length / 4), seed, "training/add-coins");
  }

  async #addNoise(
    name: string,
    into: Buffers,
    sigma: number,
    seed: number,
    kernel = "training/add-noise",
  ): Promise<void> {
    const { program } = await this.#programs.get(name, (rec) => {
      for (const [key, parameter] of this.#parameters.entries()) {
        const { shape, size } = parameter;
        const y = rec.state(parameter.name, shape, into.get(parameter)!);
        for (const { index, count: n, of } of stretches(rec, size))
          rec.step({
            kernel,
            bind: { y: of(y) },
            params: { n, sigma: dynamic("sigma"), key: key + index * this.#parameters.length, seed: dynamic("seed") },
            groups: spanGroups(n),
          });
      }
    });
    program.run({ sigma, seed });
  }

  /** The norm of all weights. */
  async length(): Promise<number> {
    const { program } = await this.#programs.get("length", (rec) => this.#recordNorm(rec, this.#weights));
    program.run();
    return this.norm();
  }

  /** The norm |g| that the last `along` walked by. The read-back is recorded at once. */
  async norm(): Promise<number> {
    const [norm] = await this.#gpu.readFloats(this.#norm, 1);
    return norm!;
  }

  /** Of g, what is kept under a name, and h, the gradients: <g, g>, <g, h> and <h, h>. */
  async products(name: string): Promise<{ kept: number; both: number; own: number }> {
    const from = this.#store(name);
    const { program } = await this.#programs.get(`products ${name}`, (rec) => {
      const pairs = this.#parameters.map((parameter) => {
        const g = rec.state(`kept of ${parameter.name}`, parameter.shape, from.get(parameter)!);
        return { g, h: rec.state(`gradient of ${parameter.name}`, parameter.shape, parameter.gradient) };
      });
      const total = (of: (pair: (typeof pairs)[number]) => Tensor) => pairs.map(of).reduce((a, b) => add(rec, a, b));
      rec.output(
        "kept",
        total(({ g }) => dot(rec, g, g)),
      );
      rec.output(
        "both",
        total(({ g, h }) => dot(rec, g, h)),
      );
      rec.output(
        "own",
        total(({ h }) => dot(rec, h, h)),
      );
    });
    program.run();
    const found = await Promise.all(["kept", "both", "own"].map((output) => program.read(output)));
    const [kept = 0, both = 0, own = 0] = found.map(([value]) => value!);
    return { kept, both, own };
  }

  free(): void {
    this.#programs.free();
    for (const held of this.#memory.splice(0)) held.free();
  }
}
