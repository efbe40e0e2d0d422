/** Takes merged changes, cuts each to its leading singular directions, and hands on their factors. */

import { stored } from "../../checkpoint/adapter/write-adapter.ts";
import type { WrittenModule } from "../../checkpoint/adapter/written.ts";
import { factorNames } from "../../checkpoint/adapter/written.ts";
import type { Dtype } from "../../checkpoint/dtype.ts";
import type { Writer } from "../../checkpoint/write/writer.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { residualSquares, truncatedSvd } from "../../tensor/linear-algebra/truncated-svd.ts";
import type { TensorSink } from "../job/ordered-writer.ts";
import { deltaName } from "./deltas.ts";

/** A module of the result. */
export interface MergedModule extends WrittenModule {
  readonly into: number;
}

/** Memory: one change, (out, in) in f32, and its decomposition. */
export class FactorSink implements TensorSink {
  readonly #modules: ReadonlyMap<string, MergedModule>;
  readonly #writer: Writer;
  readonly #dtype: Dtype;
  readonly #gpu: Gpu;
  #held = new Float32Array(0);
  #filled = 0;
  #squares = 0;
  #lost = 0;

  constructor(modules: readonly MergedModule[], writer: Writer, dtype: Dtype, gpu: Gpu) {
    this.#modules = new Map(modules.map((one) => [deltaName(one.module), one]));
    this.#writer = writer;
    this.#dtype = dtype;
    this.#gpu = gpu;
  }

  /** Share of the merged changes that the cut to a rank has cost so far, in Frobenius norm. */
  get error(): number {
    return this.#squares === 0 ? 0 : Math.sqrt(this.#lost / this.#squares);
  }

  /** Bytes of a change in f32; the last of them sends its factors on. */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    const module = this.#modules.get(name)!;
    if (this.#filled === 0) this.#held = new Float32Array(module.out * module.into);
    new Uint8Array(this.#held.buffer).set(bytes, this.#filled);
    this.#filled += bytes.length;
    if (this.#filled < this.#held.byteLength) return;
    this.#filled = 0;
    await this.#finish(module);
  }

  async #finish(module: MergedModule): Promise<void> {
    const { out, into, rank } = module;
    const matrix = { rows: out, columns: into, values: this.#held };
    if (!this.#held.every(Number.isFinite))
      throw new UserError(
        `the merged change of ${module.module} holds NaN or infinity, which has no factors`,
        "inspect the adapters with --check, or choose other values of the method",
        1,
      );
    const gpu = async () => this.#gpu;
    const found = await truncatedSvd(matrix, rank, gpu);
    this.#squares += this.#held.reduce((sum, value) => sum + value ** 2, 0);
    this.#lost += await residualSquares(matrix, found, gpu);
    const { s, left, right } = found;
    const [a, b] = [new Float32Array(rank * into), new Float32Array(out * rank)];
    for (const [k, value] of s.entries()) {
      const root = Math.sqrt(value);
      for (let i = 0; i < into; i++) a[k * into + i] = root * right.values[k * into + i]!;
      for (let o = 0; o < out; o++) b[o * rank + k] = root * left.values[k * out + o]!;
    }
    const [nameA, nameB] = factorNames(module);
    await this.#writer.write(nameA, stored(a, this.#dtype, nameA));
    await this.#writer.write(nameB, stored(b, this.#dtype, nameB));
  }
}
