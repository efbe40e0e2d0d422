/**
 * From buffer to result: runs one kernel of wgsl/ on a million values and checks it on the host.
 *
 *   bun examples/kernel.ts
 */
import { openGpu } from "../src/gpu/gpu.ts";

const N = 1_000_000;
const SPAN = 1024; // values of one workgroup, as wgsl/lib/grid.wgsl has them

const gpu = await openGpu();
// wgsl/training/add-scaled.wgsl: y = a x + b y. It is compiled once and kept by the Gpu.
const addScaled = await gpu.kernel("training/add-scaled");

// Buffers come from a pool; `using` gives them back at the end of the block.
{
  const values = Float32Array.from({ length: N }, (_, i) => i / N);
  using x = gpu.upload(values, "x");
  using y = gpu.upload(new Float32Array(N).fill(1), "y");

  // Bindings go by the names that the kernel declares. Nothing runs yet: calls are recorded in order.
  gpu.run(addScaled, {
    bind: { x: x.buffer, y: y.buffer },
    params: { n: N, a: 2, b: 3 },
    groups: [Math.ceil(N / SPAN)],
  });

  // Reading submits what was recorded and waits for this result alone.
  const result = await gpu.readFloats(y.buffer, N);
  const worst = result.reduce((most, value, i) => Math.max(most, Math.abs(value - (2 * values[i]! + 3))), 0);
  console.log(`${gpu.adapter.description}: y[1] = ${result[1]}, largest error ${worst}`);
  if (!(worst < 1e-6)) throw new Error("the kernel and the host disagree");
}
gpu.close();
