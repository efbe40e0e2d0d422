#!/usr/bin/env bun
/**
 * Make a checkpoint smaller: set weights to zero, round them to few bits.
 *
 *   bun run compress model/ --prune wanda --sparsity 0.5 --calibration rows.jsonl -o sparse/
 *   bun run compress model/ --quant gptq --bits 4 --calibration rows.jsonl -o small/
 */
import { command, script } from "../src/cli/script.ts";
import { DEPTH } from "../src/compress/depth-options.ts";
import { COMPRESS } from "../src/compress/options.ts";

await script({
  name: "compress",
  about: "Make a checkpoint smaller: set weights to zero, round them to few bits.",
  args: "[model]",
  examples: ["bun run compress model/ --quant rtn --bits 4 --group 64 -o small/"],
  output: "checkpoint",
  options: COMPRESS,
  essentials: ["prune", "sparsity", "pattern", "quant", "bits", "group", "only", "ignore", "calibration", "out_dtype"],
  commands: {
    depth: command({
      about: "Leave layers out of a model, and write what is left as a plain checkpoint.",
      args: "[model]",
      examples: [
        "bun run compress depth model/ --speedup 2 -o shallow/",
        "bun run compress depth model/ --method loss --drop 1 --calibration rows.jsonl -o shallow/",
      ],
      methods: "depth-rule",
      defaultMethod: "uniform",
      output: "checkpoint",
      options: DEPTH,
      notes: `What is left has lost much, and is to be healed: bun run compress depth model/ --speedup 2 | bun run distill --teacher model/ ...
"sample --skip-layers" leaves layers out while it writes, and reads the prompt with all of them.`,
      run: async (context) => (await import("../src/compress/commands/depth.ts")).depth(context),
    }),
  },
  notes: `Linear layers of blocks are changed; embeddings, norms, heads and routers stay. With --calibration every block is measured behind those
that are changed already, a block in memory at a time, and the error of each layer is that of what it gives.`,
  run: async (context) => (await import("../src/compress/command.ts")).compress(context),
});
