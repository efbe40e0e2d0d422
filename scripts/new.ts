#!/usr/bin/env bun
/**
 * Write the file of a new method and its test, from the example of its kind in docs/adding-a-method.md.
 *
 *   bun run new merge my-merge
 *   bun run new unlearn my-edit --family edits
 */
import { script } from "../src/cli/script.ts";
import { NEW, newMethod } from "../src/new/command.ts";

await script({
  name: "new",
  about: "Write the file of a new method and its test, from the example of its kind.",
  args: "<kind> <name>",
  examples: [
    "bun run new merge my-merge",
    "bun run new merge my-average --family averages",
    "bun run new sampler my-sampler",
    "bun run new edit my-edit --dry-run",
  ],
  output: "none",
  options: NEW,
  notes: `Kinds: merge, post (a step after a merge), approximation (of transplanted tokens), search (of merge), combination (of adapters), distill, objective and edit (of unlearn), smoothing, sampler and
ordering (of curriculum), selector, metric, attack, probe, optimizer, schedule, task, architecture.
docs/adding-a-method.md explains each. Existing files are never overwritten.`,
  run: newMethod,
});
