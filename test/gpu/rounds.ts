/**
 * Run by test/gpu/buffer.test.ts in its own process: rounds of making, dispatch and read. Prints what they did to
 * memory.
 */
import { ownGpu } from "../support/gpu.ts";

const { gpu } = await ownGpu();
const fill = await gpu.kernel("../test/gpu/kernels/fill");

async function rounds(count: number): Promise<void> {
  for (let value = 0; value < count; value++) {
    for (let i = 0; i < 40; i++) gpu.device.createBuffer({ size: 256, usage: 0x80 }).destroy();
    using result = gpu.buffer(4096, "result");
    for (let i = 3; i >= 0; i--) {
      gpu.run(fill, { bind: { result: result.buffer }, params: { n: 64, value: value + i }, invocations: 64 });
    }
    const words = await gpu.readWords(result.buffer, 4);
    if (words[1] !== 10 + value) throw new Error(`read ${words[1]}`);
  }
}

const measure = async () => {
  Bun.gc(true);
  await Bun.sleep(10); // what was collected is released now
  return { rss: process.memoryUsage.rss(), pool: gpu.pool.allocated, staging: gpu.readbacks.allocated };
};

await rounds(1000);
const before = await measure();
await rounds(4000);
const after = await measure();
console.log(
  JSON.stringify({
    rss: after.rss - before.rss,
    pool: after.pool - before.pool,
    staging: after.staging - before.staging,
  }),
);
gpu.close();
