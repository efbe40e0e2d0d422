#!/usr/bin/env bun
/**
 * Make procedural data whose truth is known.
 *
 *   bun run data addition --digits 3 --size 10000 -o train.jsonl
 *   bun run data markov --split test > test.jsonl
 */
import { script } from "../src/cli/script.ts";
import { DATA_OPTIONS, runData } from "../src/data/command.ts";

await script({
  name: "data",
  about: "Make procedural data whose truth is known.",
  args: "[task]",
  examples: [
    "bun run data addition --digits 3 --size 10000 -o train.jsonl",
    "bun run data addition --digits 3 --size 500 --split test -o test.jsonl",
    "bun run data markov --order 2 --size 5000 > language.jsonl",
    "bun run data facts --part forget -o forget.jsonl",
    "bun run data lego --help",
  ],
  methods: "task",
  methodFirst: true,
  output: "none",
  options: DATA_OPTIONS,
  notes: `The task comes first; --method TASK means the same. Rows are JSON lines. A row depends on the seed, the split and its
place alone: a smaller --size is the beginning of a larger one. The seed makes the world (the language, the people, the class
means), and the splits of one seed share it. Content of one split is in no other (addition, facts, knights, lego, modular), or
splits are independent draws from one distribution (blobs, glyphs, markov). Rows of facts and modular are all different; those of
addition, knights and lego are drawn one by one, so that a row may come twice within a split.

What is known of the rows (entropy rate, best possible error, shares) is printed on stderr. --json prints it on stdout, with counts
and hashes of rows and answers; rows are then written only if -o names a file.`,
  run: runData,
});
