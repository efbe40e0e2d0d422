/** The host memory that a dry run tells: what the rings of staging memory then hold, and the process at its peak. */
import { expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../src/gpu/gpu.ts";
import { stagingBytes } from "../../../src/gpu/transfer.ts";
import { mergeTensors, peakBytes } from "../../../src/merge/job/run.ts";
import type { ValuedTask } from "../../../src/merge/job/task.ts";
import { method as linear } from "../../../src/merge/methods/averages/linear.ts";
import { entryOf } from "../../support/entry.ts";

const MIB = 2 ** 20;

test("a ring holds six buffers of a size at most, one of a size that is not in use", () => {
  expect(stagingBytes([])).toBe(0);
  expect(stagingBytes([1, 100])).toBe(2 * 64 * 1024);
  expect(stagingBytes(Array.from({ length: 40 }, () => 3 * MIB))).toBe(6 * 4 * MIB);
  expect(stagingBytes([20 * MIB, 20 * MIB, 2 * MIB])).toBe(22 * MIB);
});

test("staging memory of a run is what was told, within the transfers that happened to meet", async () => {
  const gpu: Gpu = await openGpu();
  const values = new Float32Array(3 << 20).fill(0.5);
  const shape = [3 << 10, 1 << 10];
  const tasks: ValuedTask[] = Array.from({ length: 8 }, (_, i) => ({
    ...{ kind: "merge" as const, name: `t${i}`, shape, outDtype: "F32" as const, workDtype: "F32" as const },
    ...{ models: [0, 1].map(() => entryOf(`t${i}`, "F32", shape, values)), modelIndex: [0, 1] },
    ...{ values: { normalize: true }, perModel: [{ weight: 1 }, { weight: 3 }] },
  }));
  const settings = { seed: 0, compatRounding: false, compatBugs: false };
  await mergeTensors({ gpu, method: linear, tasks, sink: { write: async () => {} }, settings });
  const held = gpu.uploads.allocated + gpu.readbacks.allocated;
  const none = peakBytes([], linear, gpu.adapter).host;
  const told = peakBytes(tasks, linear, gpu.adapter).host - none;
  expect(held).toBeLessThanOrEqual(told);
  expect(held).toBeGreaterThanOrEqual(told / 4);
  await gpu.close();
});
