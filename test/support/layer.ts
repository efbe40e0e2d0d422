/** Linear layers for tests of pruners and quantizers. */
import type { LayerInputs, MeasuredLayer } from "../../src/compress/layer.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";

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

/** A layer that reads the rows x (n, columns). */
export function measuredLayer(
  gpu: Gpu,
  weight: Float32Array,
  rows: number,
  x: Float32Array,
): Disposable & { readonly layer: MeasuredLayer } {
  const held = layerOf(gpu, weight, rows);
  const columns = weight.length / rows;
  const { gram, magnitudes } = gramOf(x, columns);
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
