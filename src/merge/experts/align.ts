/**
 * The order of an expert's inner neurons in which it is most like another's: its function stays, and means of weights
 * make sense. Li et al., Merge, Then Compress, ICLR 2024, https://arxiv.org/abs/2310.01334, section 3.1; the
 * permutation as in Ainsworth et al., Git Re-Basin, https://arxiv.org/abs/2209.04836, weight matching of one layer.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { assign } from "../../tensor/linear-algebra/assignment.ts";
import { matmul } from "../../tensor/linear-algebra/matmul.ts";
import type { Matrix } from "./form.ts";
import { readValues } from "./values.ts";

type Expert = Readonly<Record<Matrix, TensorEntry>>;

/**
 * For every neuron of `leader` the neuron of `other` that takes its place: the assignment that maximises the sum of
 * products of their weights in gate, up and down. Products in f32 on the GPU. Time: the cube of the inner width, where
 * many neurons want the same place. Memory: two matrices of an expert and, as often as its width, its width.
 */
export async function alignment(gpu: Gpu, leader: Expert, other: Expert): Promise<Int32Array> {
  const [inner, width] = leader.gate.shape as [number, number];
  const sum = gpu.buffer(4 * inner * inner, "gains of neurons");
  const c = { buffer: sum.buffer, rows: inner, columns: inner };
  for (const [i, matrix] of (["gate", "up", "down"] as const).entries()) {
    const [rows, columns] = matrix === "down" ? [width, inner] : [inner, width];
    const held = await Promise.all(
      [leader[matrix], other[matrix]].map(async (entry) => {
        const buffer = gpu.buffer(4 * rows * columns, `${matrix} of an expert`);
        gpu.write(buffer.buffer, 0, new Uint8Array((await readValues(entry)).buffer));
        return buffer;
      }),
    );
    const [a, b] = held.map(({ buffer }) => ({ buffer, rows, columns }));
    await matmul(gpu, { form: matrix === "down" ? "tn" : "nt", a: a!, b: b!, c, accumulate: i > 0 });
    for (const buffer of held) buffer.free();
  }
  const gains = await gpu.readFloats(sum.buffer, inner * inner);
  sum.free();
  return assign(Float64Array.from(gains), inner);
}

/** Values of one of an expert's matrices with its neurons in another order. */
export function reordered(
  values: Float32Array,
  shape: readonly number[],
  matrix: Matrix,
  order: Int32Array,
): Float32Array {
  const [rows, columns] = shape as [number, number];
  const moved = new Float32Array(values.length);
  for (const [to, from] of order.entries())
    if (matrix === "down") for (let r = 0; r < rows; r++) moved[r * columns + to] = values[r * columns + from]!;
    else moved.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
  return moved;
}
