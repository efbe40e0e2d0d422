#!/usr/bin/env bun
/**
 * Look into a checkpoint: what it is, what its tensors hold, and how it was made.
 *
 *   bun run inspect model/
 *   bun run inspect model/ --diff base/
 */
import { script } from "../src/cli/script.ts";

await script({
  name: "inspect",
  about: "Look into a checkpoint: what it is, what its tensors hold, and how it was made.",
  args: "[checkpoint]",
  examples: [
    "bun run inspect model/",
    "bun run inspect model/ --diff base/",
    "bun run inspect model/ --stats --tensors '*.mlp.*'",
    "bun run inspect model/ --check && echo fine",
    "bun run inspect model/ --command > again.sh",
    "bun run merge a/ b/ --method linear | bun run inspect - --stats --json",
  ],
  output: "text",
  options: {
    stats: { type: "boolean", help: "mean, rms, largest magnitude, NaN, Inf and zeros of each tensor" },
    diff: { type: "string", value: "OTHER", help: "compare with another checkpoint, tensor by tensor" },
    check: {
      type: "boolean",
      help: "report NaN, Inf, all-zero tensors, what config.json contradicts; exit code 1 if anything is wrong",
    },
    command: { type: "boolean", help: "print the commands that made it, as a script for sh" },
    tensors: { type: "string", value: "GLOB", help: "only tensors whose name matches, or contains a plain text" },
  },
  essentials: ["stats", "diff", "check", "command", "tensors"],
  notes: `Tensors that repeat from layer to layer share a line, with statistics over all of them; -v and --json list each. Without --stats,
--check and --diff only headers are read, and no GPU is needed. Mean, rms and abs max ignore NaN and Inf. Integer and BOOL tensors
show their smallest and largest values, and --diff only says whether they differ. --check exits with 1 if it finds an error.`,
  run: async (context) => (await import("../src/inspect/command.ts")).runInspect(context),
});
