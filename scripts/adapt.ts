#!/usr/bin/env bun
/**
 * Work with adapters as values: take one out of a fine-tune, combine several, change their rank.
 *
 *   bun run adapt combine math-lora/ code-lora/ --method ties-svd --weight 0.6,0.4 -o both-lora/
 */
import { COMBINE } from "../src/adapt/options.ts";
import { command, script } from "../src/cli/script.ts";
import { UserError } from "../src/errors.ts";

await script({
  name: "adapt",
  about: "Work with adapters as values: take one out of a fine-tune, combine several, change their rank.",
  args: "<command>",
  examples: ["bun run adapt combine math-lora/ code-lora/ --method svd --weight 0.6,0.4 -o both-lora/"],
  methods: "adapt",
  output: "none",
  options: {},
  essentials: [],
  commands: {
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
  },
  run: async () => {
    throw new UserError("no command", "for example adapt combine; adapt --help lists the commands");
  },
});
