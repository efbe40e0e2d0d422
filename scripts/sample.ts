#!/usr/bin/env bun
/**
 * Let a model write.
 *
 *   bun run sample model/ "Once upon a time"
 *   bun run sample model/ --chat "What is 12+30?" --max-tokens 16
 */
import { command, script } from "../src/cli/script.ts";
import { sample } from "../src/sample/command.ts";
import { SAMPLE } from "../src/sample/options.ts";
import { VECTORS } from "../src/sample/vector-options.ts";

await script({
  name: "sample",
  about: "Let a model write.",
  args: "[model] [...prompts]",
  examples: [
    'bun run sample model/ "Once upon a time" --temperature 0.8 --top-p 0.95',
    'bun run sample model/ --chat "What is 12+30?" --max-tokens 16',
    "bun run sample model/ --chat",
    "bun run sample model/ --prompts rows.jsonl --samples 4 --temperature 1 --json > answers.jsonl",
    'bun run merge a/ b/ --method linear | bun run sample - "12+30="',
  ],
  methods: "decoder",
  options: SAMPLE,
  essentials: ["chat", "prompts", "max_tokens", "temperature", "top_p", "samples", "stop"],
  notes: `A single prompt is streamed while the model writes. With --json every answer is a line: prompt, text, ids. Draws depend on --seed, the
prompt's place and the sample's number, not on --batch-size.`,
  commands: {
    vectors: command({
      about: "Draw rows of numbers from a denoiser.",
      args: "[model]",
      examples: ["bun run sample vectors denoiser/ --count 8 --label 1 -o drawn.jsonl"],
      output: "none",
      options: VECTORS,
      notes: `A row is {"x", "label"}, as "train" reads it. Its noise follows from --seed and its number, not from --batch-size.`,
      run: async (context) => (await import("../src/sample/commands/vectors.ts")).vectors(context),
    }),
  },
  run: sample,
});
