#!/usr/bin/env bun
/**
 * Teach a student what a teacher knows.
 *
 *   bun run distill --teacher large/ --student small/ --data rows.jsonl --steps 20 -o out/
 *   bun run distill --target data --method ast --init mlp.json --data blobs.jsonl -o distilled.jsonl
 *   bun run distill cache --teacher large/ --data rows.jsonl --top 64 -o top64.safetensors
 */
import { command, script } from "../src/cli/script.ts";
import { FEDD2S } from "../src/distill/federation/options.ts";
import { CACHE, DISTILL, DOMAINS, LABEL, SYNTHESIS } from "../src/distill/options.ts";
import { SPECIALIZE } from "../src/distill/specializing/options.ts";

await script({
  name: "distill",
  about: "Teach a student what a teacher knows.",
  args: "[...teachers]",
  words: ["self"],
  examples: [
    "bun run distill --teacher large/ --student small/ --data rows.jsonl --steps 20 -o out/",
    "bun run distill --teacher large/ --init config.json --tokenizer byte --method taid --data rows.jsonl -o out/",
    "bun run distill --teacher large/ --student small/ --method jsd --on-policy 0.5 --data prompts.jsonl -o out/",
    "bun run distill cache --teacher large/ --data rows.jsonl --top 64 -o top64.safetensors",
    "bun run distill --cache top64.safetensors --student small/ --method kd --temperature 2 --data rows.jsonl -o taught/",
    "bun run merge a/ b/ --method linear | bun run distill --student small/ --data rows.jsonl > small.safetensors",
  ],
  methods: "distill",
  defaultMethod: "kd",
  output: "checkpoint",
  options: DISTILL,
  essentials: ["teacher", "student", "init", "data", "steps", "batch_size", "lr", "label_weight", "lora", "resume"],
  calls: { "--target data": "data", "--method meta-dmoe": "domains" },
  commands: {
    data: command({
      about: "Make a few rows that teach what many do, or what a trained model holds.",
      args: "[model]",
      examples: [
        "bun run distill --target data --method ast --init mlp.json --data blobs.jsonl --per-class 2 --steps 5 -o distilled.jsonl",
      ],
      methods: "synthesis",
      defaultMethod: "ast",
      output: "none",
      options: SYNTHESIS,
      notes: `Models are classifiers of numbers or images (mlp, convnet), on the processor in f64. The rows are lines of JSON that train reads; the
last line on stderr says at which rate, and in how many steps, they were made to be learnt.`,
      run: async (context) => (await import("../src/distill/commands/data.ts")).distillData(context),
    }),
    domains: command({
      about: "Teach a student to adapt to a new domain in one step, towards experts of other domains.",
      args: "[...teachers]",
      examples: [
        "bun run distill --method meta-dmoe --teacher plain/ --teacher hardened/ --student plain/ --data blobs.jsonl --data more=blobs.jsonl --heads 4 --aggregator-steps 5 --steps 5 --aggregator summed.safetensors -o ready/",
      ],
      output: "checkpoint",
      options: DOMAINS,
      notes: `Experts, in the order of the groups of --data, and student are trained classifiers of numbers or images (mlp, convnet) whose heads read
as many numbers. adapt stream --method meta-dmoe takes the step on rows without labels.`,
      run: async (context) => (await import("../src/distill/commands/domains.ts")).distillDomains(context),
    }),
    cache: command({
      about: "Write down the most likely tokens of a teacher, for runs without it.",
      args: "[teacher]",
      examples: ["bun run distill cache --teacher large/ --data rows.jsonl --top 64 -o top64.safetensors"],
      methods: "decoder",
      output: "checkpoint",
      options: CACHE,
      run: async (context) => (await import("../src/distill/commands/cache.ts")).cache(context),
    }),
    label: command({
      about: "Let classifiers vote on the labels of rows.",
      args: "[...teachers]",
      examples: ["bun run distill label plain/ hardened/ --data blobs.jsonl --agree 1 -o voted.jsonl"],
      output: "none",
      options: LABEL,
      essentials: ["teacher", "data", "agree", "columns", "tokenizer", "max_length", "batch_size"],
      run: async (context) => (await import("../src/distill/commands/label.ts")).label(context),
    }),
    "self-specialize": command({
      about: "Let a base model write rows of a domain.",
      args: "[model]",
      examples: [
        "bun run distill self-specialize base/ --seeds rows.jsonl --corpus other.jsonl --size 2 --attempts 16 --instruction-tokens 12 --answer-tokens 12 --reply '=' --end '+' -o own.jsonl",
      ],
      output: "none",
      options: SPECIALIZE,
      essentials: ["seeds", "corpus", "size", "attempts", "shown", "passages", "temperature", "ask", "reply", "end"],
      run: async (context) => (await import("../src/distill/commands/self-specialize.ts")).selfSpecialize(context),
    }),
    fedd2s: command({
      about: "Train classifiers that share class means, and no rows.",
      args: "[model]",
      examples: [
        "bun run distill fedd2s --init mlp.json --data a=left.jsonl --data b=right.jsonl --rounds 3 --round-steps 2 -o clients/",
      ],
      output: "checkpoint",
      options: FEDD2S,
      essentials: ["init", "data", "rounds", "round_steps", "drop_rate", "tap_weight", "lr", "batch_size"],
      run: async (context) => (await import("../src/distill/commands/fedd2s.ts")).fedd2s(context),
    }),
  },
  notes: `The loss is --distill-weight times the method's loss plus --label-weight times the labels' cross-entropy, both means over the tokens
that count. --teacher self with --lora uses the student's own base and no further memory; without --lora the model is read twice.
Teacher or student may come from stdin, but not both. Rows that only pad a vocabulary are recognised by tokenizer.json; other
differences need a method for other tokenizers. Resuming and the other options of train work here too.`,
  run: async (context) => (await import("../src/distill/command.ts")).distill(context),
});
