/** Inner products of the units of two models: how well each hidden unit or head of one goes with each of the other. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Axis } from "../../model/structure/anatomy.ts";
import { sidesOf } from "../../model/structure/gather.ts";
import { matmul } from "../../tensor/linear-algebra/matmul.ts";
import { paddedBytes } from "../../tensor/load.ts";

/** Values of one strip of all units, and of a block of products. */
const STRIP = 4 << 20;

/** The units of a tensor that lie along an axis (0 rows, 1 columns), `first` values from its beginning. */
export interface Units {
  readonly entry: TensorEntry;
  readonly axis: number;
  readonly first: number;
  readonly units: number;
  readonly size: number;
}

/** The stretches of a space in the axes of a tensor. */
export function unitsIn(entry: TensorEntry, axes: readonly Axis[], space: string): Units[] {
  return axes.flatMap((axis, at) => {
    let first = 0;
    return axis.flatMap(({ space: own, units, size }) => {
      const found = { entry, axis: at, first, units, size };
      first += units * size;
      return own === space ? [found] : [];
    });
  });
}

/** Values along the other axis: each strip of them has all values of every unit that lie there. */
function stripsOf({ entry, axis, units, size }: Units): { from: number; to: number }[] {
  const [rows, columns] = sidesOf(entry.shape);
  const across = axis === 0 ? columns : rows;
  const step = Math.max(1, Math.floor(STRIP / (units * size)));
  return Array.from({ length: Math.ceil(across / step) }, (_, i) => ({
    from: i * step,
    to: Math.min(across, (i + 1) * step),
  }));
}

/** A strip as a matrix with a row per unit. The host holds it and a few rows of the tensor. */
async function readStrip({ entry, axis, first, units, size }: Units, from: number, to: number) {
  const [, columns] = sidesOf(entry.shape);
  const across = to - from;
  const values = new Float32Array(units * size * across);
  const [begin, end] = axis === 0 ? [first, first + units * size] : [from, to];
  const step = Math.max(1, Math.floor(STRIP / columns));
  for (let row = begin; row < end; row += step) {
    const count = Math.min(step, end - row);
    const bytes = new Uint8Array(count * columns * DTYPE_BYTES[entry.dtype]);
    await entry.read(bytes, row * columns * DTYPE_BYTES[entry.dtype]);
    const read = decodeFloats(bytes, entry.dtype);
    for (let r = 0; r < count; r++) {
      const at = r * columns;
      if (axis === 0) values.set(read.subarray(at + from, at + to), (row + r - first) * across);
      else
        for (let u = 0; u < units; u++)
          for (let d = 0; d < size; d++)
            values[(u * size + d) * across + row + r - from] = read[at + first + u * size + d]!;
    }
  }
  return values; // (units, size * across)
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Adds <unit i of a, unit j of b> to `sums` (n, n), in f64; products of a strip are f32. */
export async function addUnitProducts(gpu: Gpu, sums: Float64Array, a: Units, b: Units): Promise<void> {
  const n = a.units;
  const block = Math.max(1, Math.min(n, Math.floor(STRIP / n)));
  for (const { from, to } of stripsOf(a)) {
    const [left, right] = [await readStrip(a, from, to), await readStrip(b, from, to)];
    const k = a.size * (to - from);
    using whole = gpu.buffer(paddedBytes(right.length, "F32"), `${b.entry.name} units`);
    gpu.write(whole.buffer, 0, bytesOf(right));
    for (let row = 0; row < n; row += block) {
      const count = Math.min(block, n - row);
      using part = gpu.buffer(paddedBytes(count * k, "F32"), `${a.entry.name} units`);
      using products = gpu.buffer(paddedBytes(count * n, "F32"), `${a.entry.name} products`);
      gpu.write(part.buffer, 0, bytesOf(left.subarray(row * k, (row + count) * k)));
      await matmul(gpu, {
        form: "nt",
        a: { buffer: part.buffer, rows: count, columns: k },
        b: { buffer: whole.buffer, rows: n, columns: k },
        c: { buffer: products.buffer, rows: count, columns: n },
      });
      const found = await gpu.readFloats(products.buffer, count * n);
      for (let i = 0; i < found.length; i++) sums[row * n + i]! += found[i]!;
    }
  }
}
