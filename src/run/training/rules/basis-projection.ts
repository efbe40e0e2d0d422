/**
 * Steps across directions that are to stay: g <- g - B' (B g), the rows of B orthonormal over all weights together.
 * With gradients of what the model said about old rows as directions, these answers stay, to first order, as they are.
 * Orthogonal gradient descent, Farajtabar et al., AISTATS 2020, https://arxiv.org/abs/1910.07104
 *
 * GPU memory: as many copies of the weights in f32 as there are directions. Directions belong to the caller's state.
 */
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { add, neg } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";

/** Of a direction that is left of a gradient: shorter than this share of it, it is rounding. */
const NOTHING = 1e-4;

export class Basis {
  readonly capacity: number;
  /** By weight, (capacity, size); rows that are not in use are 0. */
  readonly of: ReadonlyMap<Parameter, Parameter>;
  readonly #gpu: Gpu;
  readonly #programs: Programs;
  readonly #one = new Map<Parameter, PooledBuffer>();
  #used = 0;

  /** Throws UserError where the directions of a weight are more than the adapter binds at once. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], capacity: number) {
    this.#gpu = gpu;
    this.capacity = capacity;
    this.#programs = new Programs(gpu);
    const most = gpu.adapter.limits.maxStorageBufferBindingSize ?? Number.POSITIVE_INFINITY;
    const large = parameters.find(({ size }) => 4 * capacity * size > most);
    if (large)
      throw new UserError(
        `${capacity} directions of ${large.name} are more than the adapter binds at once`,
        "keep fewer, or train fewer weights",
      );
    this.of = new Map(
      parameters.map((parameter) => {
        const { name, size } = parameter;
        const held = new Parameter(gpu, `directions of ${name}`, [capacity, size], "f32", false);
        gpu.clear(held.buffer, Math.max(16, 4 * capacity * size));
        return [parameter, held];
      }),
    );
  }

  /** Directions that are in use. */
  get used(): number {
    return this.#used;
  }
  /** Continues with so many. */
  resume(used: number): void {
    this.#used = used;
  }
  get kept(): readonly Parameter[] {
    return [...this.of.values()];
  }
  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Takes what lies along the directions out of the gradients. */
  async project(): Promise<void> {
    const { program } = await this.#programs.get("project", (rec) => {
      const rows = [...this.of].map(([{ name, size, gradient }, held]) => ({
        g: rec.state(`gradient of ${name}`, [1, size], gradient),
        b: rec.state(held.name, held.shape, held.buffer),
      }));
      const along = rows.map(({ g, b }) => linear(rec, g, b)).reduce((x, y) => add(rec, x, y)); // (1, capacity)
      const back = neg(rec, along);
      for (const { g, b } of rows) recordAddScaled(rec, linear(rec, back, b, { transposed: true }), g);
    });
    program.run({ a: 1, b: 1 });
  }

  /** Adds the direction of the gradients as they are, unless it lies in the span of those that are there. */
  async add(): Promise<void> {
    if (this.#used === this.capacity) throw new RangeError("every direction is in use");
    const before = await this.#norm();
    // Twice: what rounding leaves the first time is gone then.
    await this.project();
    await this.project();
    const left = await this.#norm();
    if (!(left > NOTHING * before)) return;
    const { program } = await this.#programs.get("scale", (rec) => {
      for (const [{ name, size, gradient }, held] of this.of) {
        const g = rec.state(`gradient of ${name}`, [size], gradient);
        recordAddScaled(rec, g, rec.state(`direction of ${name}`, [size], this.#newest(held, size)));
      }
    });
    program.run({ a: 1 / left, b: 0 });
    for (const [{ size }, held] of this.of)
      this.#gpu.copy(this.#newest(held, size), 0, held.buffer, 4 * size * this.#used, 4 * size);
    this.#used++;
  }

  /** Memory of one direction, which begins at 0. */
  #newest(held: Parameter, size: number): GPUBuffer {
    let memory = this.#one.get(held);
    if (!memory) {
      memory = this.#gpu.buffer(Math.max(16, 4 * size), `newest of ${held.name}`);
      this.#gpu.clear(memory.buffer, Math.max(16, 4 * size));
      this.#one.set(held, memory);
    }
    return memory.buffer;
  }

  async #norm(): Promise<number> {
    const { program } = await this.#programs.get("norm", (rec) =>
      rec.output("square", squares(rec, [...this.of.keys()])),
    );
    program.run();
    return Math.sqrt((await program.read("square"))[0]!);
  }

  free(): void {
    this.#programs.free();
    for (const held of [...this.kept, ...this.#one.values()]) held.free();
  }
}

function squares(rec: Recorder, parameters: readonly Parameter[]): Tensor {
  return parameters
    .map(({ name, size, gradient }) => rec.state(`gradient of ${name}`, [1, size], gradient))
    .map((g) => linear(rec, g, g))
    .reduce((x, y) => add(rec, x, y));
}

export class BasisProjection implements UpdateRule {
  readonly name = "basis";
  readonly #basis: Basis;

  constructor(basis: Basis) {
    this.#basis = basis;
  }

  async before(): Promise<void> {
    if (this.#basis.used > 0) await this.#basis.project();
  }
}
