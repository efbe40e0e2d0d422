/** How tensors are cut: every value once, whole rows where they fit, within the adapter's bindings. */
import { expect, test } from "bun:test";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { footprint, layoutOf } from "../../../src/merge/job/chunk-sizes.ts";
import type { OperandDtype } from "../../../src/tensor/load.ts";
import { entry } from "../plan/fixtures.ts";

const task = (shape: number[], types: Dtype[], workDtype: OperandDtype = "F32") => ({
  ...{ name: "w", shape, outDtype: "F32" as const, workDtype, modelIndex: types.map((_, i) => i) },
  models: types.map((dtype) => entry("w", dtype, shape)),
});
const discrete = (binding: number) => ({ type: "discrete" as const, limits: { maxStorageBufferBindingSize: binding } });

test("chunks cover the tensor, and a chunk of all inputs fits one binding", () => {
  for (const shape of [[1], [0, 8], [], [255], [1000, 3], [5, 40_000], [3, 7, 11], [2_000_000]]) {
    for (const count of [1, 2, 9]) {
      const layout = layoutOf(task(shape, Array(count).fill("F32")), "many", discrete(1 << 20));
      const size = shape.reduce((a, b) => a * b, 1);
      expect([shape, layout.size]).toEqual([shape, size]);
      expect(layout.chunkCount).toBe(size === 0 ? 0 : Math.ceil(size / layout.chunkLength));
      if (layout.wholeRows) expect(layout.chunkLength % Math.max(1, shape.at(-1) ?? 1)).toBe(0);
      if (size > 0) expect(4 * count * Math.min(size, layout.chunkLength)).toBeLessThanOrEqual(1 << 20);
      expect(footprint(layout, 0)).toBeGreaterThanOrEqual(0);
    }
  }
  expect(layoutOf(task([5, 400_000], ["F32"]), "one", discrete(1 << 20)).wholeRows).toBe(false);
});

test("inputs of one type stay in it; of several, or of none that kernels read, they are f32", () => {
  const of = (types: Dtype[], work?: OperandDtype) => layoutOf(task([8], types, work), "one", discrete(1 << 27)).dtype;
  expect(of(["BF16", "BF16"])).toBe("BF16");
  expect(of(["F16", "BF16"])).toBe("F32");
  expect(of(["F64"])).toBe("F32");
  expect(of(["F8_E4M3", "F8_E4M3"])).toBe("F32");
  expect(of(["F32", "BF16"], "BF16")).toBe("BF16");
});

test("only what is looked at twice stays on the device", () => {
  expect(layoutOf(task([8], ["F32"]), "one", discrete(1 << 27)).resident).toBe(false);
  expect(layoutOf(task([8], ["F32"]), "many", discrete(1 << 27)).resident).toBe(true);
  expect(layoutOf(task([1 << 28], ["F32"]), "many", discrete(1 << 27)).resident).toBe(false);
});
