/** `bun run bench` prints a row for docs/performance.md. What it measures depends on the machine. */

import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { providerName } from "../../src/gpu/provider.ts";
import { run } from "../../src/setup/run.ts";

const BENCH = fileURLToPath(new URL("../bench/bench.ts", import.meta.url));
const bench = (...args: string[]) => run([process.execPath, BENCH, ...args], { cwd: import.meta.dir });

test("figures come with the adapter, the driver and the versions that made them", async () => {
  const { code, stdout, stderr } = await bench("--parts", "copy", "--quick", "--json");
  expect([code, stderr]).toEqual([0, "copy …\n"]);
  const told = JSON.parse(stdout);
  const keys = ["adapter", "driver", "backend", "type", "processor", "system", "versions", "quick", "figures"];
  expect(Object.keys(told)).toEqual(keys);
  expect(told.versions).toMatchObject({ bun: Bun.version, [providerName()]: expect.any(String) });
  expect(told.figures).toEqual([
    { name: expect.stringMatching(/^copy of \d+ MB$/), value: expect.any(Number), unit: "GB/s" },
  ]);
  expect(told.figures[0].value).toBeGreaterThan(0);
});

test.each([
  [["--parts", "copy,graphics"], "bench: --parts graphics: no such part"],
  [["--slow"], "bench: Unknown option '--slow'"],
  [["--parts", "copy", "--device", "abacus"], "bench: No adapter matches --device abacus"],
])("%j is refused before anything is measured", async (args, words) => {
  const { code, stdout, stderr } = await bench(...args, "--quick");
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toStartWith(words);
  expect(stderr.trim().split("\n")).toHaveLength(2);
});
