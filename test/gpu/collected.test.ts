import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

/** A share of what `BUN_JSC_collectContinuously=1 bun test/gpu/collected.ts 6000` does, which takes minutes. */
const PIPELINES = "600";

test("nothing that a native call reads is collected before it has read it", async () => {
  const script = fileURLToPath(new URL("./collected.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, script, PIPELINES], {
    env: { ...process.env, BUN_JSC_collectContinuously: "1" },
    stdout: "pipe",
    stderr: "inherit",
  });
  const found = JSON.parse(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  expect(found).toEqual({
    faults: { devices: 0, pipelines: 0, commands: 0, results: 0, labels: 0, kernels: 0 },
    messages: [],
  });
}, 120_000);
