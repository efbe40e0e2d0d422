#!/usr/bin/env bun
/**
 * Work with adapters as values: take one out of a fine-tune, combine several, change their rank.
 *
 *   bun run adapt extract math/ --base base/ --rank 16 -o math-lora/
 *   bun run adapt combine math-lora/ code-lora/ --method ties-svd --weight 0.6,0.4 -o both-lora/
 */
import { COMBINE, EXTRACT, RESIZE } from "../src/adapt/options.ts";
import { command, script } from "../src/cli/script.ts";
import { UserError } from "../src/errors.ts";
import { didYouMean } from "../src/method/nearest.ts";

await script({
  name: "adapt",
  about: "Work with adapters as values: take one out of a fine-tune, combine several, change their rank.",
  args: "<command>",
  examples: [
    "bun run adapt extract math/ --base base/ --rank 16 -o math-lora/",
    "bun run adapt resize math-lora/ --rank 4 -o smaller-lora/",
    "bun run adapt combine math-lora/ code-lora/ --method svd --weight 0.6,0.4 -o both-lora/",
  ],
  methods: "adapt",
  output: "none",
  options: {},
  essentials: [],
  commands: {
    extract: command({
      about: "Take an adapter out of a fine-tune and its base: low-rank changes, and what else changed whole.",
      args: "[fine-tune]",
      examples: [
        "bun run adapt extract math/ --base base/ --rank 16 -o math-lora/",
        "bun run adapt extract math/ --base base/ --energy 0.9 -o math-lora/",
        "bun run adapt extract math/ --base base/ --budget 1MB --dtype bf16 -o math-lora/",
      ],
      output: "checkpoint",
      options: EXTRACT,
      essentials: ["base", "rank", "energy", "budget", "embed_lora", "include_regex", "exclude_regex", "dtype"],
      run: async (context) => (await import("../src/adapt/commands/extract.ts")).extract(context),
    }),
    combine: command({
      about: "Combine adapters of one base into one adapter, without the base.",
      args: "[...adapters]",
      examples: [
        "bun run adapt combine math-lora/ code-lora/ --method svd --weight 0.6,0.4 -o both-lora/",
        "bun run adapt combine math-lora/ code-lora/ --method ties-svd --density 0.3 --svd-rank 8 -o tied-lora/",
        "bun run adapt combine math-lora/ code-lora/ --method knots -o knotted-lora/",
      ],
      methods: "adapt",
      output: "checkpoint",
      options: COMBINE,
      run: async (context) => (await import("../src/adapt/commands/combine.ts")).combine(context),
    }),
    resize: command({
      about: "Bring an adapter to another rank.",
      args: "[adapter]",
      examples: [
        "bun run adapt resize math-lora/ --rank 1 -o smaller-lora/",
        "bun run adapt resize math-lora/ --energy 0.95 -o smaller-lora/",
      ],
      output: "checkpoint",
      options: RESIZE,
      run: async (context) => (await import("../src/adapt/commands/resize.ts")).resize(context),
    }),
  },
  run: async ({ args: [command] }) => {
    const hint = didYouMean(command!, ["extract", "combine", "resize"]) ?? "adapt --help lists the commands";
    throw new UserError(`unknown command ${command}`, hint);
  },
});
