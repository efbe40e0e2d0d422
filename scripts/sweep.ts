#!/usr/bin/env bun
/**
 * Run a script over values of its options and over seeds, and compare what comes of them.
 *
 *   bun run sweep train base/ --lr 1e-3,1e-2 --metric loss -o rates/ -- --data rows.jsonl --steps 20
 */
import { script } from "../src/cli/script.ts";
import { sweepWords } from "../src/sweep/arguments.ts";
import { SWEEP } from "../src/sweep/options.ts";

await script({
  name: "sweep",
  about: "Run a script over values of its options and over seeds, and compare what comes of them.",
  args: "<script> [...models]",
  examples: [
    "bun run sweep train base/ --lr 1e-3,1e-2 --seeds 2 --metric loss -o rates/ -- --data rows.jsonl --steps 2",
  ],
  output: "none",
  options: SWEEP,
  essentials: Object.keys(SWEEP),
  reword: sweepWords,
  notes: `Before -- stand the script, its models and the options that vary: --method grad-ascent,npo is each of them, --lr 1e-5..1e-3:log a range,
--lr 1e-5..1e-3:log:4 four values of it. Behind -- stand options that all trials have, and behind a second -- a script that measures {out}, each
trial's result. -o is the folder of trials; the same command goes on with those that are missing.`,
  run: async (context) => (await import("../src/sweep/command.ts")).sweep(context),
});
