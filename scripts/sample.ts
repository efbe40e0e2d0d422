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
import { REFINE } from "../src/sample/refine-options.ts";
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
    refine: command({
      about: "Go over texts that a smaller model wrote, where they are least likely.",
      args: "[model] [texts]",
      examples: ["bun run sample refine model/ drafts.jsonl -o refined.jsonl"],
      output: "none",
      options: REFINE,
      notes: `Texts are lines of sample --json. In every round the tokens that the model finds least likely become what it would write there, all
at once; a text stays as it was where that makes it no likelier. It keeps its number of tokens.`,
      run: async (context) => (await import("../src/sample/commands/refine.ts")).refine(context),
    }),
  },
  run: sample,
});
