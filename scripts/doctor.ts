#!/usr/bin/env bun
/**
 * Print what a bug report needs, and why a GPU is not used.
 *
 *   bun run doctor          versions, adapters, limits, drivers, advice
 *   bun run doctor --fix    add a software driver where no adapter answers
 *
 * Exit code 0 when an adapter answered and the numbers of a kernel were right, 1 otherwise.
 */
import { doctor } from "../src/setup/doctor.ts";
import { runToEnd } from "../src/setup/setup.ts";

await runToEnd("doctor", () => doctor(process.argv.slice(2)));
