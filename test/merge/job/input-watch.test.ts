import { beforeAll, expect, test } from "bun:test";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { InputWatch } from "../../../src/merge/job/input-watch.ts";
import { type OperandDtype, paddedBytes } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";

covers("merge/not-finite");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const task = (name: string, models: number) => {
  const entry = entryOf(name, "F32", [1], new Float32Array(1));
  const rest = { shape: [1], outDtype: "F32", workDtype: "F32", modelIndex: [] } as const;
  return { name, ...rest, models: Array(models).fill(entry) };
};

/** Looks at a chunk of one model's values beside two of zeros. */
async function seen(values: Float32Array, dtype: OperandDtype, slot: number): Promise<boolean[]> {
  const watch = new InputWatch(gpu, [task("before", 2), task("w", 3), task("after", 1)]);
  const bytes = paddedBytes(values.length, dtype);
  using stack = gpu.buffer(3 * bytes, "stack");
  gpu.clear(stack.buffer, 3 * bytes);
  const data = new Uint8Array(Math.ceil(values.length / 4) * 4 * (dtype === "F32" ? 4 : 2));
  data.set(encodeFloats(values, dtype));
  gpu.write(stack.buffer, slot * bytes, data);
  const n4 = Math.ceil(values.length / 4);
  const pitch = bytes / (dtype === "F32" ? 16 : 8);
  const chunk = { index: 0, start: 0, length: values.length, n4, pitch, stack: stack.buffer };
  await watch.look("w", chunk, 3, dtype);
  const found = await watch.found();
  expect([found("before", 0), found("before", 1), found("after", 0)]).toEqual([false, false, false]);
  return [0, 1, 2].map((k) => found("w", k));
}

for (const dtype of ["F32", "BF16", "F16"] as const) {
  test(`one value of a ${dtype} stack is found wherever it lies, and large ones are none`, async () => {
    for (const length of [1, 255, 257, 4099, 17 * 4096 + 3]) {
      const values = Float32Array.from({ length }, (_, i) => (i % 2 ? -1 : 1) * (dtype === "F16" ? 65504 : 3e38));
      expect(await seen(values, dtype, 1)).toEqual([false, false, false]);
      for (const [k, odd] of [Number.NaN, 1 / 0, -1 / 0].entries()) {
        const place = Math.floor((length - 1) * (k / 2));
        expect(await seen(values.with(place, odd), dtype, k)).toEqual([k === 0, k === 1, k === 2]);
      }
    }
  });
}
