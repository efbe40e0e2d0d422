#!/usr/bin/env bun
/**
 * Measure models on data.
 *
 *   bun run evaluate model/ --data rows.jsonl
 *   bun run evaluate before/ after/ --data rows.jsonl --metric loss,exact-match
 */
import { script } from "../src/cli/script.ts";
import { evaluate } from "../src/evaluate/command.ts";
import { EVALUATE } from "../src/evaluate/options.ts";

await script({
  name: "evaluate",
  about: "Measure models on data.",
  args: "[...models]",
  examples: [
    "bun run evaluate model/ --data rows.jsonl",
    "bun run evaluate before/ after/ --data math=m.jsonl --data code=c.jsonl --metric loss,exact-match",
    "bun run evaluate model/ --data rows.jsonl --metric loss --dump logits.safetensors --json",
    "bun run merge a/ b/ --method linear | bun run evaluate --data rows.jsonl --pass > merged.safetensors",
  ],
  output: ({ pass }) => (pass ? "checkpoint" : "text"),
  options: EVALUATE,
  notes: `Metrics: loss, perplexity, accuracy, sequence-accuracy, exact-match (greedy decoding), choice (rows of prompt, choices,
answer), ece, class-accuracy. Intervals are percentile bootstraps over rows; several models share the resamples.`,
  run: evaluate,
});
