/**
 * How much gradients of each weight change from step to step, and gradients that are scaled: what a client measures
 * when it explores, and hears when it learns. Memory: two copies of what is trained.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { LocalPart, Parcel, Tensors } from "../../run/among/contract.ts";
import { bytesOf } from "../../run/among/tensors.ts";
import { Programs } from "../../run/programs.ts";
import { recordAddScaled } from "../../run/training/add-scaled.ts";
import { abs, add, mul, sub } from "../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";

interface Held {
  readonly parameter: Parameter;
  /** When it explores the gradient before and the sum of changes; else the scale in the latter. */
  readonly before: PooledBuffer;
  readonly sum: PooledBuffer;
}

/** What is measured, and by what gradients are scaled in a client's round; undefined: it explores. */
export type ScalesOf = (told: Parcel, kept: Parcel) => Tensors | undefined;

export class Guidance implements LocalPart {
  readonly #gpu: Gpu;
  readonly #held: readonly Held[];
  readonly #programs: Programs;
  readonly #scales: ScalesOf;
  #explores = true;
  #steps = 0;

  constructor(gpu: Gpu, parameters: readonly Parameter[], scales: ScalesOf) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#scales = scales;
    const copy = (what: string, { name, size }: Parameter) => gpu.buffer(Math.max(16, 4 * size), `${what} of ${name}`);
    this.#held = parameters.map((parameter) => ({
      parameter,
      before: copy("gradient before", parameter),
      sum: copy("changes of the gradient", parameter),
    }));
  }

  get bytes(): number {
    return this.#held.reduce((sum, { before }) => sum + 2 * before.bytes, 0);
  }

  begin({ told, kept }: { readonly told: Parcel; readonly kept: Parcel }): undefined {
    const scales = this.#scales(told, kept);
    this.#explores = scales === undefined;
    this.#steps = 0;
    for (const { parameter, sum } of this.#held)
      if (scales) this.#gpu.write(sum.buffer, 0, bytesOf(scales.get(parameter.name)!));
      else this.#gpu.clear(sum.buffer, Math.max(16, 4 * parameter.size));
    return undefined;
  }

  readonly updates = [{ name: "guidance", before: () => this.#before() }];

  async #before(): Promise<void> {
    const isFirst = this.#explores && this.#steps++ === 0;
    const what = isFirst ? "first" : this.#explores ? "explore" : "guide";
    const { program } = await this.#programs.get(what, (rec) => this.#record(rec, what));
    program.run({ a: 1, b: 0 });
  }

  #record(rec: Recorder, what: "first" | "explore" | "guide"): void {
    for (const { parameter, before, sum } of this.#held) {
      const { name, shape } = parameter;
      const gradient = rec.state(`gradient of ${name}`, shape, parameter.gradient);
      const last = rec.state(`gradient before of ${name}`, shape, before.buffer);
      const held = rec.state(`changes of ${name}`, shape, sum.buffer);
      if (what === "guide") recordAddScaled(rec, mul(rec, gradient, held), gradient);
      else if (what === "explore") recordAddScaled(rec, add(rec, held, abs(rec, sub(rec, gradient, last))), held);
      if (what !== "guide") recordAddScaled(rec, gradient, last);
    }
  }

  /** Of an exploration: the mean change of every weight's gradient. Empty otherwise. */
  async end(): Promise<Parcel> {
    const tensors = new Map<string, Float32Array>();
    if (this.#explores)
      for (const { parameter, sum } of this.#held) {
        const values = await this.#gpu.readFloats(sum.buffer, parameter.size);
        tensors.set(
          parameter.name,
          values.map((value) => value / Math.max(1, this.#steps - 1)),
        );
      }
    return { tensors, numbers: {} };
  }

  free(): void {
    this.#programs.free();
    for (const { before, sum } of this.#held) {
      before.free();
      sum.free();
    }
  }
}
