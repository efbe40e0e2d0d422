/**
 * Sums of weight times gradient over the rows or columns of matrices. Signed, such a sum is the gradient of a gate of 1
 * on what the row makes, or on what the column reads; of magnitudes it says how much a loss hangs on the unit.
 *
 * GPU memory: gradients of the weights, and a number per unit.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { foldGroups } from "../../gpu/grid.ts";
import { rowWork } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { rowParts } from "../../tensor/stretches.ts";
import { sizeOf, viewOf } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";

/** A weight as a matrix: all but the last dimension are rows; a vector is a column. */
export function matrixOf(shape: readonly number[]): { readonly rows: number; readonly columns: number } {
  const columns = shape.length < 2 ? 1 : shape.at(-1)!;
  return { rows: sizeOf(shape) / columns, columns };
}

/** What is summed of a weight. */
export interface SummedUnits {
  readonly parameter: Parameter;
  readonly along: "row" | "column";
}

const countOf = ({ parameter: { shape }, along }: SummedUnits): number =>
  along === "row" ? matrixOf(shape).rows : matrixOf(shape).columns;

export class UnitProducts {
  readonly #gpu: Gpu;
  readonly #summed: readonly SummedUnits[];
  readonly #sums: readonly PooledBuffer[];
  readonly #programs: Programs;
  #add: Program | undefined;

  private constructor(gpu: Gpu, summed: readonly SummedUnits[]) {
    this.#gpu = gpu;
    this.#summed = summed;
    this.#programs = new Programs(gpu);
    this.#sums = summed.map((one) => gpu.buffer(Math.max(16, 4 * countOf(one)), `sums of ${one.parameter.name}`));
  }

  /** Begins at 0. `magnitude`: sums of |weight x gradient|. */
  static async make(gpu: Gpu, summed: readonly SummedUnits[], { magnitude = false } = {}): Promise<UnitProducts> {
    const made = new UnitProducts(gpu, summed);
    made.clear();
    const { program } = await made.#programs.get("add", (rec) => {
      for (const i of summed.keys()) made.#record(rec, i, magnitude ? ["magnitude"] : []);
    });
    made.#add = program;
    return made;
  }

  #record(rec: Recorder, place: number, flags: readonly string[]): void {
    const { parameter, along } = this.#summed[place]!;
    const { name, shape, dtype, buffer, gradient } = parameter;
    const { rows, columns } = matrixOf(shape);
    const sums = rec.state(`sums of ${name}`, [countOf(this.#summed[place]!)], this.#sums[place]!.buffer);
    const weight = rec.state(name, [rows, columns], buffer, dtype);
    let first = 0;
    for (const part of rowParts(rec, rec.state(`gradient of ${name}`, [rows, columns], gradient))) {
      const n = part.shape[0]!;
      const work =
        along === "row" ? rowWork(rec, n, columns) : { flags: ["columns"], groups: foldGroups(columns / 64) };
      rec.step({
        kernel: "training/unit-products",
        flags: [...flags, ...work.flags, ...(dtype === "bf16" ? ["weight_bf16"] : [])],
        bind: { weight: viewOf(weight, first * columns, part.shape), gradient: part, sums },
        params: { n, c: columns, first: along === "row" ? first : 0, a: dynamic("a") },
        groups: work.groups,
      });
      first += n;
    }
  }

  get bytes(): number {
    return this.#sums.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  clear(): void {
    for (const { buffer, bytes } of this.#sums) this.#gpu.clear(buffer, bytes);
  }

  /** Adds `share` times the sums at the gradients as they are now. */
  add(share: number): void {
    this.#add!.run({ a: share });
  }

  /** The sums of what came at this place, one per row or column. */
  read(place: number): Promise<Float32Array> {
    return this.#gpu.readFloats(this.#sums[place]!.buffer, countOf(this.#summed[place]!));
  }

  free(): void {
    this.#programs.free();
    for (const held of this.#sums) held.free();
  }
}
