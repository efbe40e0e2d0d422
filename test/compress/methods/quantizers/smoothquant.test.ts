import { describe, expect, test } from "bun:test";
import { matrixValues } from "../../../../src/checkpoint/quantized/matrix.ts";
import { scaleInputs } from "../../../../src/compress/input-scales.ts";
import { readWeights } from "../../../../src/compress/layer.ts";
import { method } from "../../../../src/compress/methods/quantizers/smoothquant.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { gramOf, layerReading } from "../../../support/layer.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const [ROWS, COLUMNS, TOKENS] = [8, 32, 64];
const W8 = { bits: 8, group: COLUMNS, symmetric: true, scales: "f32", keepZeros: false } as const;

/** Inputs of which two are a hundred times as large as the others, as those of large language models are. */
const X = normals(1, TOKENS * COLUMNS).map((x, i) => (i % COLUMNS === 3 || i % COLUMNS === 20 ? 100 * x : x));
const WEIGHTS = [normals(2, ROWS * COLUMNS), normals(3, ROWS * COLUMNS)];

/** Each token rounded to 8 bits by its largest magnitude. */
function roundTokens(x: Float32Array): Float32Array {
  const rounded = x.slice();
  for (let t = 0; t < x.length; t += COLUMNS) {
    const scale = Math.max(...x.subarray(t, t + COLUMNS).map(Math.abs)) / 127;
    for (let j = t; j < t + COLUMNS; j++) rounded[j] = Math.round(x[j]! / scale) * scale;
  }
  return rounded;
}

const outputs = (weight: Float32Array, x: Float32Array): Float64Array =>
  Float64Array.from({ length: TOKENS * ROWS }, (_, i) => {
    const [t, r] = [Math.floor(i / ROWS) * COLUMNS, (i % ROWS) * COLUMNS];
    let sum = 0;
    for (let j = 0; j < COLUMNS; j++) sum += weight[r + j]! * x[t + j]!;
    return sum;
  });

/** The share of what the layers give that is lost with weights and inputs of 8 bits, and the factors of the inputs. */
async function lossWith(alpha: number | undefined) {
  const largest = new Float32Array(COLUMNS);
  for (const [i, x] of X.entries()) largest[i % COLUMNS] = Math.max(largest[i % COLUMNS]!, Math.abs(x));
  const held = WEIGHTS.map((weight) => layerReading(gpu, weight, ROWS, gramOf(X, COLUMNS)));
  const layers = held.map(({ layer }) => ({ ...layer, inputs: { ...layer.inputs, largest: largest.slice() } }));
  let factors = new Float32Array(COLUMNS).fill(1);
  const scale = async (given: Float32Array) => {
    factors = Float32Array.from(given);
    for (const layer of layers) await scaleInputs(layer, given);
  };
  if (alpha !== undefined)
    await method.prepare?.({ gpu, layers: layers.map((layer) => ({ layer, scheme: W8 })), scale }, { alpha });
  let [lost, whole] = [0, 0];
  const read = roundTokens(X.map((x, i) => x / factors[i % COLUMNS]!));
  for (const [k, layer] of layers.entries()) {
    const found = outputs(matrixValues(await method.quantize(layer, W8, { alpha: 0.5 })), read);
    const wanted = outputs(WEIGHTS[k]!, X);
    for (const [i, y] of wanted.entries()) {
      lost += (found[i]! - y) ** 2;
      whole += y ** 2;
    }
  }
  const weights = await Promise.all(layers.map(readWeights));
  for (const one of held) one[Symbol.dispose]();
  return { loss: lost / whole, factors, weights, largest: layers[0]!.inputs.largest };
}

describe("weights and inputs of 8 bits", () => {
  test("lose much less where large inputs are evened out", async () => {
    const [plain, smooth] = [await lossWith(undefined), await lossWith(0.5)];
    expect(smooth.loss).toBeLessThan(plain.loss / 3);
  });

  test("the share alpha of the inputs' spread goes into the weights", async () => {
    for (const alpha of [0, 0.5, 1]) {
      const { weights, largest } = await lossWith(alpha);
      for (let j = 0; j < COLUMNS; j++) {
        const column = weights.flatMap((w) => Array.from({ length: ROWS }, (_, r) => Math.abs(w[r * COLUMNS + j]!)));
        if (alpha === 0) expect(Math.max(...column)).toBeCloseTo(1, 4);
        else if (alpha === 1) expect(largest[j]!).toBeCloseTo(1, 4);
        else expect(Math.max(...column) / largest[j]!).toBeCloseTo(1, 4);
      }
    }
  });
});
