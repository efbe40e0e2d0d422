/** Quantizers in the order in which theory has them, on one layer of mixed inputs; groups are whole rows. */
import { expect, test } from "bun:test";
import { matrixValues, type QuantizedMatrix } from "../../../../src/checkpoint/quantized/matrix.ts";
import { scaleInputs } from "../../../../src/compress/input-scales.ts";
import { type MeasuredLayer, readWeights, relativeError } from "../../../../src/compress/layer.ts";
import { method as awq } from "../../../../src/compress/methods/quantizers/awq.ts";
import { method as decoupleq } from "../../../../src/compress/methods/quantizers/decoupleq.ts";
import { method as gptq } from "../../../../src/compress/methods/quantizers/gptq.ts";
import { method as rtn } from "../../../../src/compress/methods/quantizers/rtn.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { measuredLayer, mixedRows } from "../../../support/layer.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();

test.each([4, 3, 2])("%i bits", async (bits) => {
  const scheme = { bits, group: 32, symmetric: false, scales: "f32", keepZeros: false } as const;
  const weight = normals(11, 16 * 32);
  const on = async (work: (layer: MeasuredLayer) => Promise<QuantizedMatrix>): Promise<number> => {
    using held = measuredLayer(gpu, weight, 16, mixedRows(61, 256, 32));
    const { layer } = held;
    const found = matrixValues(await work(layer));
    return relativeError(layer, await readWeights(layer), found);
  };
  const sweep = { damp: 0.01, block: 128, static_groups: false, mse: false };
  const turns = { damp: 0.01, block: 128, relax_steps: 200, relax_lr: 0.05 };
  const rounded = await on((layer) => rtn.quantize(layer, scheme, { mse: false, absmax: false }));
  const scaled = await on(async (layer) => {
    const scale = (factors: Float32Array) => scaleInputs(layer, factors);
    await awq.prepare?.({ gpu, layers: [{ layer, scheme }], scale }, { clip: false });
    return awq.quantize(layer, scheme, { clip: false });
  });
  const swept = await on((layer) => gptq.quantize(layer, scheme, { ...sweep, act_order: false }));
  const ordered = await on((layer) => gptq.quantize(layer, scheme, { ...sweep, act_order: true }));
  const refitted = await on((layer) => decoupleq.quantize(layer, scheme, { ...turns, rounds: 0 }));
  const turned = await on((layer) => decoupleq.quantize(layer, scheme, { ...turns, rounds: 4 }));
  expect(scaled).toBeLessThanOrEqual(rounded);
  const falling = [rounded, swept, ordered, refitted, turned];
  expect(falling).toEqual(falling.toSorted((a, b) => b - a));
  expect(new Set(falling).size).toBe(5);
});
