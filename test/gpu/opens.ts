/**
 * Run by test/gpu/device.test.ts in its own process, on Linux: opens, uses and closes devices one after the other.
 * Prints the threads of the process after the first one and after the last.
 */
import { readdirSync } from "node:fs";
import { ownGpu } from "../support/gpu.ts";

async function use(): Promise<void> {
  const { gpu } = await ownGpu();
  using result = gpu.buffer(64, "result");
  gpu.run(await gpu.kernel("../test/gpu/kernels/fill"), {
    bind: { result: result.buffer },
    params: { n: 4, value: 9 },
  });
  await gpu.readWords(result.buffer, 4);
  gpu.close();
}

async function threads(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    Bun.gc(true);
    await Bun.sleep(10); // what was collected is released now
  }
  return readdirSync("/proc/self/task").length;
}

await use();
const first = await threads();
for (let i = 0; i < 12; i++) await use();
console.log(JSON.stringify({ first, last: await threads() }));
process.exit(0);
