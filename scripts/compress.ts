#!/usr/bin/env bun
/**
 * Make a checkpoint smaller: set weights to zero, round them to few bits.
 *
 *   bun run compress model/ --prune wanda --sparsity 0.5 --calibration rows.jsonl -o sparse/
 *   bun run compress model/ --quant gptq --bits 4 --calibration rows.jsonl -o small/
 */
import { script } from "../src/cli/script.ts";
import { COMPRESS } from "../src/compress/options.ts";

await script({
  name: "compress",
  about: "Make a checkpoint smaller: set weights to zero, round them to few bits.",
  args: "[model]",
  examples: [
    "bun run compress model/ --quant rtn --bits 4 --group 64 -o small/",
  ],
  output: "checkpoint",
  options: COMPRESS,
  essentials: ["prune", "sparsity", "pattern", "quant", "bits", "group", "only", "ignore", "calibration", "out_dtype"],
  notes: `Linear layers of blocks are changed; embeddings, norms, heads and routers stay. With --calibration every block is measured behind those
that are changed already, a block in memory at a time, and the error of each layer is that of what it gives.`,
  run: async (context) => (await import("../src/compress/command.ts")).compress(context),
});
