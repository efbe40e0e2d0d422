/** Run by test/gpu/buffer.test.ts in a process of its own: rounds of dispatch and read; prints what they did to memory. */
import { ownGpu } from "../support/gpu.ts";

const { gpu } = await ownGpu();
const fill = await gpu.kernel("../test/gpu/kernels/fill");

async function rounds(count: number): Promise<void> {
  for (let value = 0; value < count; value++) {
    using result = gpu.buffer(4096, "result");
    gpu.run(fill, { bind: { result: result.buffer }, params: { n: 1024, value }, invocations: 1024 });
    const words = await gpu.readWords(result.buffer, 4);
    if (words[1] !== 10 + value) throw new Error(`read ${words[1]}`);
  }
}

const measure = () => {
  Bun.gc(true);
  return { rss: process.memoryUsage.rss(), pool: gpu.pool.allocated, staging: gpu.readbacks.allocated };
};

await rounds(1000);
const before = measure();
await rounds(4000);
const after = measure();
console.log(
  JSON.stringify({
    rss: after.rss - before.rss,
    pool: after.pool - before.pool,
    staging: after.staging - before.staging,
  }),
);
gpu.close();
