/** `bun run bench` prints a row for docs/performance.md. What it measures depends on the machine. */
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { run } from "../../src/setup/run.ts";

const BENCH = fileURLToPath(new URL("../bench/bench.ts", import.meta.url));
const bench = (...args: string[]) => run([process.execPath, BENCH, ...args], { cwd: import.meta.dir });

test("figures come with the adapter, the driver and the versions that made them", async () => {
  const { code, stdout, stderr } = await bench("--parts", "copy", "--quick", "--json");
  expect([code, stderr]).toEqual([0, "copy …\n"]);
  const told = JSON.parse(stdout);
  const keys = ["adapter", "driver", "backend", "type", "processor", "system", "versions", "quick", "figures"];
  expect(Object.keys(told)).toEqual(keys);
  expect(told.versions).toMatchObject({ bun: Bun.version, "bun-webgpu": expect.any(String) });
  expect(told.figures).toEqual([
    { name: expect.stringMatching(/^copy of \d+ MB$/), value: expect.any(Number), unit: "GB/s" },
  ]);
  expect(told.figures[0].value).toBeGreaterThan(0);
});

test("a part that is not there is named before anything is measured", async () => {
  const { code, stdout, stderr } = await bench("--parts", "copy,graphics", "--quick");
  expect([code === 0, stdout]).toEqual([false, ""]);
  expect(stderr).toContain("--parts graphics: there are copy, products, merges, training, decoding");
});
