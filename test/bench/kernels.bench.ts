/**
 * Bandwidth of the merge kernels beside a plain copy kernel on the same adapter, by mitata.
 *
 *   bun test/bench/kernels.bench.ts [--device NAME]
 *
 * Each iteration submits eight dispatches and waits once, so that the round trip does not hide the kernel. GB/s count
 * the bytes that a kernel must read and write once; "copy" reads and writes one tensor. Selection is timed as a whole:
 * sample, count, candidates, host.
 */

import { bench, run } from "mitata";
import { openGpu } from "../../src/gpu/gpu.ts";
import { spanGroups } from "../../src/gpu/grid.ts";
import { TensorInputs } from "../../src/merge/job/tensor-inputs.ts";
import { taskVector } from "../../src/merge/selection/ranked.ts";
import { topCuts } from "../../src/merge/selection/top-k-selection.ts";

const device = process.argv.includes("--device") ? process.argv[process.argv.indexOf("--device") + 1] : undefined;
const gpu = await openGpu({ device });
/** Values per tensor; as in the chunks of a merge on this adapter. */
const N = gpu.adapter.type === "cpu" ? 1 << 20 : 1 << 24;
const N4 = N / 4;
const REPEAT = 8;

const random = new Uint32Array((3 * N) / 2);
let state = 1;
for (let i = 0; i < random.length; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  random[i] = (state & 0x80ff80ff) | 0x3b803b80;
}
const stack = gpu.upload(random, "stack").buffer;
const result = gpu.buffer(4 * N, "result").buffer;
const weights = gpu.upload(new Float32Array([0.2, 0.3, 0.5]), "weights").buffer;
const sparsity = new DataView(new ArrayBuffer(2 * 36));
for (let k = 0; k < 2; k++) {
  sparsity.setFloat32(36 * k, 0.5, true);
  sparsity.setFloat32(36 * k + 4, 1, true);
  for (const [word, value] of [0x3b000000, 1000, 0x7fffffff, 0, 12345 + k, 999, 1 << 23].entries()) {
    sparsity.setUint32(36 * k + 8 + 4 * word, value, true);
  }
}
const models = gpu.upload(sparsity, "models").buffer;

const gigabytesPerSecond = new Map<string, number>();

async function add(name: string, path: string, flags: string[], bytes: number, dispatch: object, constants = {}) {
  const kernel = await gpu.kernel(path, { flags, constants });
  gigabytesPerSecond.set(name, bytes);
  bench(name, async () => {
    for (let i = 0; i < REPEAT; i++) gpu.run(kernel, { groups: spanGroups(N4), ...dispatch } as never);
    await gpu.readWords(result, 1);
  });
}

const bf16 = ["in_bf16", "out_bf16"];
const sizes = { n4: N4, pitch: N4 };
const taskSizes = { ...sizes, start: 0, mask_pitch: 0 };
const output = { lambda: 1, divisor: 1 };
const tasks = { stack, models, result };
await add("copy", "load/convert", bf16, 4 * N, { bind: { source: stack, result }, params: { n4: N4 } });
await add(
  "combine, 2 models",
  "merge/combine",
  bf16,
  6 * N,
  { bind: { stack, weights, result }, params: { ...sizes, divisor: 1 } },
  { K: 2 },
);
await add(
  "combine, 3 models",
  "merge/combine",
  bf16,
  8 * N,
  { bind: { stack, weights, result }, params: { ...sizes, divisor: 1 } },
  { K: 3 },
);
await add("dots", "merge/dots", ["in_bf16"], 4 * N, {
  bind: { stack, partials: result },
  params: { ...sizes, a: 0, b: 1, origin: 0 },
});
for (const [name, flags] of [
  ["task arithmetic", []],
  ["ties", ["elect", "by_top"]],
  ["dare_ties", ["elect", "by_chance"]],
] as const) {
  await add(
    `task-vectors, ${name}`,
    "merge/task-vectors",
    [...bf16, ...flags],
    8 * N,
    { bind: tasks, params: { ...taskSizes, ...output } },
    { K: 2 },
  );
}
await add(
  "survivor-norms",
  "merge/survivor-norms",
  ["in_bf16", "by_chance"],
  6 * N,
  { bind: { stack, models, partials: result }, params: taskSizes },
  { K: 2 },
);
await add("nearswap", "merge/nearswap", bf16, 6 * N, { bind: { stack, result }, params: { ...sizes, t: 0.01 } });

const bytes = Buffer.from(random.buffer);
const entry = (slot: number) => ({
  name: "t",
  dtype: "BF16" as const,
  shape: [N],
  bytes: 2 * N,
  read: async (into: Uint8Array, offset: number) =>
    void into.set(bytes.subarray(2 * N * slot + offset, 2 * N * slot + offset + into.length)),
});
const task = {
  name: "t",
  shape: [N],
  outDtype: "BF16" as const,
  workDtype: "F32" as const,
  base: entry(0),
  models: [entry(1)],
  modelIndex: [0],
};
const inputs = new TensorInputs({
  ...{ gpu, task, values: {}, passes: "many" },
  settings: { seed: 0, compatRounding: false, compatBugs: false, chunkValues: N },
});
await topCuts(inputs, [{ ranked: taskVector(inputs, 0), top: N / 2 }]);
gigabytesPerSecond.set("selection, whole", (4 * N) / REPEAT);
gigabytesPerSecond.set("copy, one dispatch and its wait", (4 * N) / REPEAT);
bench("selection, whole", async () => {
  await topCuts(inputs, [{ ranked: taskVector(inputs, 0), top: N / 2 }]);
});
const copy = await gpu.kernel("load/convert", { flags: bf16 });
bench("copy, one dispatch and its wait", async () => {
  gpu.run(copy, { bind: { source: stack, result }, params: { n4: N4 }, groups: spanGroups(N4) });
  await gpu.readWords(result, 1);
});

const { benchmarks } = await run({ format: "quiet" });
process.stdout.write(`${gpu.adapter.description || gpu.adapter.device}, ${N} BF16 values per tensor\n`);
for (const { alias, runs } of benchmarks) {
  const least = runs[0]?.stats?.min ?? Number.NaN; // ns
  const median = runs[0]?.stats?.p50 ?? Number.NaN;
  const rate = (ns: number) => ((REPEAT * gigabytesPerSecond.get(alias)!) / ns).toFixed(2).padStart(8);
  process.stdout.write(
    `${alias.padEnd(34)} ${rate(least)} GB/s best ${rate(median)} GB/s median ${(least / 1e6).toFixed(2)} ms\n`,
  );
}
await inputs.close();
gpu.close();
