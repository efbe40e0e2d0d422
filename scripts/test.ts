#!/usr/bin/env bun
/**
 * Set up, then check types, style and tests.
 *
 *   bun run test                    everything
 *   bun run test test/merge         types, style, and the tests in that folder
 *   bun run test --only-tests -t ties   arguments go to `bun test`
 *
 * Ends with one line, "N passed, N failed": a test each, and one each for types and style. Exit code 1 if anything
 * failed.
 */
import { runChecks } from "../src/setup/checks.ts";
import { runToEnd } from "../src/setup/setup.ts";

await runToEnd("test", () => runChecks(process.argv.slice(2)));
