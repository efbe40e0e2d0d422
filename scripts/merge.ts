#!/usr/bin/env bun
/**
 * Merge checkpoints that share an architecture into one.
 *
 *   bun run merge math/ code/ --base base/ --method ties --density 0.3 -o merged/
 *   bun run merge recipe.yml -o merged/
 */
import { command, script } from "../src/cli/script.ts";
import { EXPERT_COMMANDS } from "../src/merge/commands/expert-commands.ts";
import { GATE_COMMANDS } from "../src/merge/commands/gate-commands.ts";
import { REGMEAN_COMMANDS } from "../src/merge/commands/regmean-commands.ts";
import { VOCABULARY_COMMANDS } from "../src/merge/commands/vocabulary-commands.ts";
import { mergekitOptions } from "../src/merge/mergekit-options.ts";
import { isRecipeAlone, LAYERSHUFFLE, WRITING } from "../src/merge/options.ts";
import { SEARCH } from "../src/merge/search/options.ts";
import { TUNING } from "../src/merge/tuning/options.ts";

await script({
  name: "merge",
  about: "Merge checkpoints that share an architecture into one.",
  args: "[...models or one recipe.yml]",
  examples: [
    "bun run merge math/ code/ --base base/ --method ties --density 0.3 -o merged/",
    "bun run merge recipe.yml -o mixed/",
    "bun run merge a/ b/ --method linear --weight 0.7,0.3 | bun run merge - c/ --base c/ --method slerp --t 0.3 > out.safetensors",
    "bun run merge hf:org/a hf:org/b+adapter/ --method karcher -o merged/",
    "bun run merge a/ b/ --base base/ --method ties --set weight:mlp=0.2,0.8 --weight 0.5 --explain",
    "bun run merge a/ b/ --base base/ --method ties --search cma-es --budget 20 --data rows.jsonl --recipes best.yml",
  ],
  methods: "merge",
  methodOptions: "raw",
  isRecipe: (keys) => keys.includes("merge_method") || keys.includes("genome"),
  output: (options) =>
    options.check || options.explain || options.groups
      ? "none"
      : options.search && options.out === "-"
        ? "text"
        : "checkpoint",
  options: {
    base: { type: "string", value: "MODEL", help: "checkpoint the models were tuned from, or one end of the path" },
    dtype: { type: "string", value: "DTYPE", help: "round inputs to this type first: float32, bfloat16, float16" },
    out_dtype: { type: "string", value: "DTYPE", help: "type of the output; otherwise dtype, or each tensor's own" },
    check: {
      type: "boolean",
      help: "report what does not fit together, without reading weights, and stop; exit code 1 if anything is wrong",
    },
    explain: { type: "boolean", help: "print the parameters of every tensor, and stop" },
    align: {
      type: "'weights' | 'residual'",
      value: "WHAT",
      help: "put hidden units and heads of the models in the order that goes best with the base or the first (weights), and the residual stream too (residual)",
    },
    post: { type: "string", kind: "post", help: "step after the merge" },
    ...SEARCH,
    files: {
      type: "string",
      value: "MODEL",
      help: "which model's config, tokenizer and chat template go with the result; the base's or the first's when left out",
    },
    tokenizer_source: {
      type: "string",
      value: "SOURCE",
      help: "rows by their tokens, under this vocabulary: union, base, or that of one MODEL; as they stand when left out",
    },
    pad_to_multiple_of: {
      type: "number.integer >= 1",
      value: "N",
      needs: ["tokenizer_source", "add_tokens", "add_special_tokens"],
      help: "rows added to the tables of tokens, up to a multiple",
    },
    add_tokens: {
      type: "string",
      value: "TOKENS",
      help: 'tokens that the tokenizer of the result has too, as "<a>,<b>", whole wherever their text stands',
    },
    add_special_tokens: {
      type: "string",
      value: "TOKENS",
      help: "the same, special: no part of the text of an answer",
    },
    numeric_tokens: {
      type: "string",
      value: "W.D",
      help: "tokens for digits at their places, W before the point and D behind it, with rows that say what they are worth",
    },
    new_rows: {
      type: "'mean' | 'pieces'",
      needs: ["add_tokens", "add_special_tokens"],
      help: "rows of added tokens: the mean of all (mean, when left out), or of the pieces that their text was cut into",
    },
    chat_template: {
      type: "string",
      value: "TEMPLATE",
      help: "auto (that of most models), chatml, llama3, mistral, alpaca, exaone, or a text in Jinja; that of --files when left out",
    },
    ...WRITING,
    compat_rounding: { type: "boolean", help: "round every step to dtype, as mergekit does" },
    compat_bugs: { type: "boolean", help: "reproduce mergekit's faults; on for recipes, off otherwise" },
    allow_duplicates: { type: "boolean", help: "count a model each time it is listed; mergekit counts it once" },
    allow_missing: { type: "boolean", help: "make tensors that a model lacks from the models that have them" },
    multi: {
      type: "string",
      value: "DIR",
      was: ["intermediate_dir"],
      help: "keep the results of a file's named recipes in DIR, and make none again that is finished",
    },
    groups: {
      type: "string",
      value: "FILE",
      help: "merge within groups of tasks: of each line name: {task: model, ...} a checkpoint, and groups.json says which is whose",
    },
    lazy: { type: "boolean", default: true, help: "with --multi; --no-lazy makes finished results again" },
    random_seed: { type: "number.integer >= 0", value: "N", help: "of mergekit: the same as --seed" },
    ...TUNING,
    ...mergekitOptions,
  },
  commands: {
    layershuffle: command({
      about: "Take each block from one of several models at random.",
      args: "[...models]",
      examples: [
        "bun run merge layershuffle a/ b/ --weight 0.7,0.3 -o shuffled/",
        "bun run merge layershuffle a/ b/ --full-random --seed 1 --print-recipe",
        "bun run merge layershuffle --model a/ --model b/ --write-recipe shuffle.yml -o shuffled/",
      ],
      output: (options) => (options.explain || isRecipeAlone(options) ? "none" : "checkpoint"),
      options: LAYERSHUFFLE,
      run: async (context) => (await import("../src/merge/commands/layershuffle.ts")).layershuffle(context),
    }),
    ...EXPERT_COMMANDS,
    ...VOCABULARY_COMMANDS,
    ...REGMEAN_COMMANDS,
    ...GATE_COMMANDS,
  },
  essentials: ["base", "dtype", "check", "explain", "post"],
  run: async (context) => (await import("../src/merge/command.ts")).runMerge(context),
});
