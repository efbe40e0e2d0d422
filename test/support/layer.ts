/** Linear layers for tests of pruners and quantizers. */
import type { LayerInputs, MeasuredLayer } from "../../src/compress/layer.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { normals } from "./random.ts";

export interface TestLayer extends Disposable {
  readonly layer: Omit<MeasuredLayer, "inputs">;
}

/** A layer without inputs. `using` gives its memory back. */
export function layerOf(gpu: Gpu, weight: Float32Array, rows: number, name = "layer.weight"): TestLayer {
  const held = gpu.upload(weight, name);
  const { signal } = new AbortController();
  return {
    layer: { gpu, name, rows, columns: weight.length / rows, weight: held, seed: 0, signal },
    [Symbol.dispose]: () => held.free(),
  };
}

/** X^T X / n and the mean magnitudes of rows (n, columns), in f64. */
export function gramOf(x: Float32Array, columns: number): { gram: Float64Array; magnitudes: Float32Array } {
  const n = x.length / columns;
  const gram = new Float64Array(columns * columns);
  const magnitudes = new Float64Array(columns);
  for (let row = 0; row < n; row++) {
    const values = x.subarray(row * columns, (row + 1) * columns);
    for (let i = 0; i < columns; i++) {
      magnitudes[i]! += Math.abs(values[i]!) / n;
      for (let j = 0; j < columns; j++) gram[i * columns + j]! += (values[i]! * values[j]!) / n;
    }
  }
  return { gram, magnitudes: Float32Array.from(magnitudes) };
}

/** A layer with the second moments and mean magnitudes of its inputs. */
export function layerReading(
  gpu: Gpu,
  weight: Float32Array,
  rows: number,
  { gram, magnitudes }: { readonly gram: ArrayLike<number>; readonly magnitudes: Float32Array },
): Disposable & { readonly layer: MeasuredLayer } {
  const held = layerOf(gpu, weight, rows);
  const columns = weight.length / rows;
  const buffer = gpu.upload(Float32Array.from(gram), "gram");
  const inputs: LayerInputs = { gram: { buffer: buffer.buffer, rows: columns, columns }, magnitudes };
  return {
    layer: { ...held.layer, inputs },
    [Symbol.dispose]() {
      held[Symbol.dispose]();
      buffer.free();
    },
  };
}

/** A layer that reads the rows x (n, columns). */
export const measuredLayer = (gpu: Gpu, weight: Float32Array, rows: number, x: Float32Array) =>
  layerReading(gpu, weight, rows, gramOf(x, weight.length / rows));

/**
 * Rows (n, columns) of inputs that go together and differ in size: normal values mixed by a random matrix, columns
 * scaled by exp(0.7 N(0, 1)).
 */
export function mixedRows(seed: number, n: number, columns: number): Float32Array {
  const [tokens, mix, sizes] = [
    normals(seed, n * columns),
    normals(seed + 1000, columns ** 2),
    normals(seed + 2000, columns),
  ];
  const x = new Float32Array(n * columns);
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += tokens[row * columns + k]! * mix[k * columns + j]!;
      x[row * columns + j] = sum * Math.exp(0.7 * sizes[j]!);
    }
  }
  return x;
}
