#!/usr/bin/env bun
/**
 * Set up what is missing, then make small checkpoints, merge them in three ways and through a pipe, and check the
 * results.
 *
 *   npx bun run demo
 */
import { runToEnd, setUp } from "../src/setup/setup.ts";

await runToEnd("demo", async () => {
  await setUp();
  // Only now: before set-up there are no packages to import.
  const { demo } = await import("../src/demo/demo.ts");
  await demo();
  return 0;
});
