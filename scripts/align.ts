#!/usr/bin/env bun
/**
 * Train a model by preferences between answers.
 *
 *   bun run align model/ --method dpo --data preferences.jsonl --epochs 1 -o aligned/
 */
import { ALIGN } from "../src/align/options.ts";
import { script } from "../src/cli/script.ts";

await script({
  name: "align",
  about: "Train a model by preferences between answers.",
  args: "[model]",
  examples: [
    "bun run align model/ --method dpo --data preferences.jsonl --epochs 1 -o aligned/",
    "bun run align model/ --method dpo --pair-loss ipo --lora --lr 1e-4 --data preferences.jsonl -o preferring/",
    "bun run align model/ --method kto --data judged.jsonl --epochs 1 -o wanted/",
  ],
  methods: "align",
  defaultMethod: "dpo",
  output: "checkpoint",
  options: ALIGN,
  essentials: [
    "data",
    "steps",
    "epochs",
    "batch_size",
    "accumulate",
    "lr",
    "pair_loss",
    "reference_cache",
    "lora",
    "resume",
  ],
  notes: `The reference is the model as it was; its likelihoods are computed once, before the first step, so no second model is in memory.
--batch-size counts pairs, or single answers. Resuming and the other options of train work here too.`,
  run: async (context) => (await import("../src/align/command.ts")).align(context),
});
