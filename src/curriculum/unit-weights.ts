/**
 * Weights of a model after each of several trainings, kept on the GPU, and their averages in the model. Memory: a copy
 * of the trained weights for each.
 */
import { open } from "../checkpoint/open.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Model } from "../model/model.ts";
import { Programs } from "../run/programs.ts";
import { recordAddScaled } from "../run/training/add-scaled.ts";
import { loadRange, paddedBytes } from "../tensor/load.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** Values of a file that are on their way at a time. */
const PIECE = 4 << 20;

export class UnitWeights {
  readonly #model: Model;
  readonly #trained: readonly Parameter[];
  readonly #kept = new Map<number, ReadonlyMap<Parameter, PooledBuffer>>();
  readonly #programs: Programs;

  constructor(model: Model) {
    this.#model = model;
    this.#trained = model.trainable();
    this.#programs = new Programs(model.gpu);
  }

  /** Keeps the weights as they are now, as those of a unit. */
  keep(unit: number): void {
    const { gpu } = this.#model;
    const kept = new Map(
      this.#trained.map((parameter) => {
        const held = gpu.buffer(Math.max(16, parameter.bytes), `${parameter.name} of unit ${unit}`);
        gpu.copy(parameter.buffer, 0, held.buffer, 0, 4 * parameter.size);
        return [parameter, held];
      }),
    );
    this.#kept.set(unit, kept);
  }

  /**
   * Puts the mean of units into the model: of one its very bits; of k a running mean, w <- w_k / k + w (k - 1) / k.
   */
  async average(units: readonly number[]): Promise<void> {
    const [first, ...others] = units;
    for (const [parameter, held] of this.#kept.get(first!)!)
      this.#model.gpu.copy(held.buffer, 0, parameter.buffer, 0, 4 * parameter.size);
    for (const [i, unit] of others.entries()) {
      const { program } = await this.#programs.get(`unit ${unit}`, (rec) => {
        for (const [{ name, shape, buffer }, held] of this.#kept.get(unit)!)
          recordAddScaled(rec, rec.state(`${name} of a unit`, shape, held.buffer), rec.state(name, shape, buffer));
      });
      program.run({ a: 1 / (i + 2), b: (i + 1) / (i + 2) });
    }
  }

  /** Puts the weights of a checkpoint that was written as held into the model. */
  async load(path: string): Promise<void> {
    const { gpu, stored } = this.#model;
    const checkpoint = await open(path, { warn: () => {} });
    try {
      for (const { name, shape, parameter, start } of stored) {
        if (!this.#trained.includes(parameter)) continue;
        const [entry, size] = [checkpoint.tensors.get(name)!, sizeOf(shape)];
        for (let at = 0; at < size; at += PIECE) {
          const length = Math.min(PIECE, size - at);
          using part = gpu.buffer(paddedBytes(length, "F32"), `${name} (on its way)`);
          await loadRange(gpu, entry, at, length, "F32", part.buffer, 0);
          gpu.copy(part.buffer, 0, parameter.buffer, 4 * (start + at), 4 * length);
        }
      }
    } finally {
      checkpoint.close();
    }
  }

  free(): void {
    this.#programs.free();
    for (const kept of this.#kept.values()) for (const held of kept.values()) held.free();
    this.#kept.clear();
  }
}
