/** Many tensors at work: order of writing, failures on the way, interruption. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../../src/merge/contract.ts";
import { mergeTensors, peakBytes } from "../../../src/merge/job/run.ts";
import type { ValuedTask } from "../../../src/merge/job/task.ts";
import type { MergeJob } from "../../../src/merge/job/tensor-job.ts";
import { method as linear } from "../../../src/merge/methods/averages/linear.ts";
import { method as karcher } from "../../../src/merge/methods/spherical/karcher.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const settings = { seed: 0, compatRounding: false, compatBugs: false, chunkValues: 512 };
const tasks = (count: number, fail = -1): ValuedTask[] =>
  Array.from({ length: count }, (_, i) => {
    const shape = [1 + (i % 5), 300];
    const entry = (seed: number) => entryOf(`t${i}`, "F32", shape, normals(seed + i, 300 * (1 + (i % 5))));
    const broken = { ...entry(9), read: () => Promise.reject(new Error("the disk is gone")) };
    return {
      ...{ kind: "merge" as const, name: `t${i}`, shape, outDtype: "F32" as const, workDtype: "F32" as const },
      ...{ models: [entry(1), i === fail ? broken : entry(2)], modelIndex: [0, 1] },
      ...{ values: { normalize: true, max_iter: 10, tol: 1e-5 }, perModel: [{ weight: 1 }, { weight: 3 }] },
    };
  });

test("tensors are written in the order of the plan, each in its order", async () => {
  for (const method of [linear, karcher]) {
    const written: string[] = [];
    const done: string[] = [];
    const sink = { write: async (name: string) => void (written.at(-1) !== name && written.push(name)) };
    await mergeTensors({ gpu, method, tasks: tasks(30), sink, settings, done: ({ name }) => done.push(name) });
    expect(written).toEqual(tasks(30).map(({ name }) => name));
    expect(done.toSorted()).toEqual(written.toSorted());
  }
});

test("an input or an output that fails ends the run with its error, and the GPU keeps working", async () => {
  for (const method of [linear, karcher]) {
    const sink = { write: async () => {} };
    await expect(mergeTensors({ gpu, method, tasks: tasks(30, 7), sink, settings })).rejects.toThrow(
      "the disk is gone",
    );
    const full = { write: () => Promise.reject(new Error("the disk is full")) };
    await expect(mergeTensors({ gpu, method, tasks: tasks(30), sink: full, settings })).rejects.toThrow(
      "the disk is full",
    );
    await mergeTensors({ gpu, method, tasks: tasks(5), sink, settings });
  }
});

test("a kernel that fails on many tensors leaves none of them waiting", async () => {
  const broken: MergeMethod = {
    ...linear,
    merge: (job: MergeJob) =>
      job.emit(() => {
        throw new Error("no such kernel");
      }),
  };
  const sink = { write: async () => {} };
  for (let round = 0; round < 8; round++)
    await expect(mergeTensors({ gpu, method: broken, tasks: tasks(8), sink, settings })).rejects.toThrow(
      "no such kernel",
    );
  await mergeTensors({ gpu, method: linear, tasks: tasks(5), sink, settings });
});

test("an aborted run stops and says so", async () => {
  const abort = new AbortController();
  abort.abort(new Error("enough"));
  const method = linear;
  const run = mergeTensors({
    gpu,
    method,
    tasks: tasks(5),
    sink: { write: async () => {} },
    settings,
    signal: abort.signal,
  });
  await expect(run).rejects.toThrow("enough");
});

test("values that go per model are lists", async () => {
  const seen: unknown[] = [];
  const method: MergeMethod = {
    ...linear,
    merge: (job: MergeJob<{ weight: number[] }>) => {
      seen.push(job.values.weight);
      return job.combine(job.values.weight);
    },
  };
  await mergeTensors({ gpu, method, tasks: tasks(1), sink: { write: async () => {} }, settings });
  expect(seen).toEqual([[1, 3]]);
});

test("the peak does not grow with the number of tensors", () => {
  expect(peakBytes(tasks(1000), linear)).toEqual(peakBytes(tasks(100), linear));
});

test("what a method holds of its largest tensors is in the peak, on the side where it lies", () => {
  const plain = peakBytes(tasks(9), linear);
  const holding = (gpu: number, host: number): MergeMethod => ({
    ...linear,
    holds: ({ shape, count }) => ({ gpu: gpu * count * shape[0]!, host: host * shape[0]! }),
  });
  const [onGpu, onHost] = [peakBytes(tasks(9), holding(2 ** 20, 0)), peakBytes(tasks(9), holding(0, 2 ** 20))];
  // Six at a time; of nine tensors of 1 to 5 rows the largest six have 5 + 4 + 4 + 3 + 3 + 2.
  expect(onGpu).toEqual({ gpu: plain.gpu + 21 * 2 * 2 ** 20, host: plain.host });
  expect(onHost).toEqual({ gpu: plain.gpu, host: plain.host + 21 * 2 ** 20 });
  // One that needs more than the budget runs alone.
  expect(peakBytes(tasks(9), holding(0, 2 ** 30)).host).toBe(plain.host + 5 * 2 ** 30);
});
