/** Turns tensors as a plan says, on the GPU, a piece of rows or columns at a time. */
import type { Gpu } from "../../gpu/gpu.ts";
import type { DenseLayout } from "../../model/dense-layout.ts";
import { matmul } from "../../tensor/linear-algebra/matmul.ts";
import { scaleSides } from "../input-scales.ts";
import type { Turn } from "./plan.ts";

/** Values that are on the GPU at a time, at least a row or a column. */
const PIECE = 2 ** 22;

/** Rotations of a model, each (n, n) f32. */
export interface Rotations {
  readonly stream: Float32Array;
  /** Of the heads of a layer. */
  heads(layer: number): Float32Array;
}

export class Turner {
  readonly #gpu: Gpu;
  readonly #layout: Pick<DenseLayout, "headDim" | "kvHeads">;
  readonly #rotations: Rotations;

  constructor(gpu: Gpu, layout: Pick<DenseLayout, "headDim" | "kvHeads">, rotations: Rotations) {
    this.#gpu = gpu;
    this.#layout = layout;
    this.#rotations = rotations;
  }

  /** Values (rows, columns), of a vector (rows, 1), turned. `gains` (columns) are those of the turn's norm. */
  async turn(values: Float32Array, columns: number, turn: Turn, gains?: Float32Array): Promise<Float32Array> {
    const { headDim, kvHeads } = this.#layout;
    const { stream } = this.#rotations;
    let now = values;
    if (turn.heads) {
      const own = this.#rotations.heads(turn.heads.layer);
      if (turn.heads.by === "columns") now = await this.#right(now, headDim, own);
      else {
        const from = turn.heads.first * columns;
        const rows = kvHeads * headDim;
        const part = await this.#leftBlocks(now.subarray(from, from + rows * columns), columns, own);
        now = now.slice();
        now.set(part, from);
      }
    }
    if (turn.columns) now = await this.#right(now, columns, stream, gains);
    if (turn.rows) now = await this.#leftBlocks(now, columns, stream);
    return now;
  }

  /** X diag(gains) R for X of rows of `n`, R (n, n). */
  async #right(x: Float32Array, n: number, rotation: Float32Array, gains?: Float32Array): Promise<Float32Array> {
    const gpu = this.#gpu;
    using by = gpu.upload(rotation, "rotation");
    using right = gains && gpu.upload(gains, "gains");
    const result = new Float32Array(x.length);
    const most = Math.max(1, Math.floor(PIECE / n)) * n;
    for (let at = 0; at < x.length; at += most) {
      const piece = x.subarray(at, Math.min(at + most, x.length));
      const rows = piece.length / n;
      using given = gpu.upload(piece, "rows");
      using scaled = right && gpu.buffer(4 * piece.length, "scaled rows");
      if (scaled && right) await scaleSides(gpu, given.buffer, scaled.buffer, { rows, columns: n, right });
      using turned = gpu.buffer(4 * piece.length, "turned rows");
      await matmul(gpu, {
        form: "nn",
        a: { buffer: (scaled ?? given).buffer, rows, columns: n },
        b: { buffer: by.buffer, rows: n, columns: n },
        c: { buffer: turned.buffer, rows, columns: n },
      });
      result.set(await gpu.readFloats(turned.buffer, piece.length), at);
    }
    return result;
  }

  /** R^T X for every n rows of X (rows, columns), R (n, n). */
  async #leftBlocks(x: Float32Array, columns: number, rotation: Float32Array): Promise<Float32Array> {
    const n = Math.sqrt(rotation.length);
    const gpu = this.#gpu;
    using by = gpu.upload(rotation, "rotation");
    const result = new Float32Array(x.length);
    const width = Math.max(1, Math.min(columns, Math.floor(PIECE / n)));
    for (let row = 0; row < x.length / columns; row += n)
      for (let first = 0; first < columns; first += width) {
        const size = Math.min(width, columns - first);
        const piece = new Float32Array(n * size);
        const startOf = (r: number) => (row + r) * columns + first;
        for (let r = 0; r < n; r++) piece.set(x.subarray(startOf(r), startOf(r) + size), r * size);
        using given = gpu.upload(piece, "columns");
        using turned = gpu.buffer(4 * piece.length, "turned columns");
        await matmul(gpu, {
          form: "tn",
          a: { buffer: by.buffer, rows: n, columns: n },
          b: { buffer: given.buffer, rows: n, columns: size },
          c: { buffer: turned.buffer, rows: n, columns: size },
        });
        const values = await gpu.readFloats(turned.buffer, piece.length);
        for (let r = 0; r < n; r++) result.set(values.subarray(r * size, (r + 1) * size), startOf(r));
      }
    return result;
  }
}
