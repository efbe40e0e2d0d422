#!/usr/bin/env bun
/**
 * Make a model forget some rows and keep the rest.
 *
 *   bun run unlearn model/ --method npo --forget secrets.jsonl --retain books.jsonl --epochs 5 -o out/
 *   bun run unlearn model/ --method ssd --forget secrets.jsonl --retain books.jsonl -o out/
 */
import { command, script } from "../src/cli/script.ts";
import { ATTRIBUTE, DM_DIRECT } from "../src/unlearn/attribution/options.ts";
import { IMPORTANCE, UNLEARN } from "../src/unlearn/options.ts";
import { PREPARE_PD } from "../src/unlearn/prepare-options.ts";
import { REQUESTS } from "../src/unlearn/requests-options.ts";
import { S3T } from "../src/unlearn/s3t-options.ts";

await script({
  name: "unlearn",
  about: "Make a model forget some rows and keep the rest.",
  args: "[model]",
  examples: [
    "bun run unlearn model/ --method npo --forget secrets.jsonl --retain books.jsonl --epochs 5 -o forgot/",
    "bun run unlearn model/ --method npo --smooth sam --lora --forget secrets.jsonl --retain books.jsonl -o adapter/",
    "bun run unlearn model/ --method ssd --forget secrets.jsonl --retain books.jsonl -o out/",
    "bun run unlearn importance model/ --retain all.jsonl -o importance.safetensors",
    "bun run unlearn model/ --method ssd --importance importance.safetensors --forget secrets.jsonl -o dampened/",
    "bun run unlearn fitted/ --method analytic --forget gone.jsonl -o without/",
    "bun run merge a/ b/ --method linear | bun run unlearn --forget f.jsonl --retain r.jsonl > out.safetensors",
  ],
  methods: "unlearn",
  defaultMethod: "npo",
  output: "checkpoint",
  options: UNLEARN,
  essentials: [
    "forget",
    "retain",
    "steps",
    "epochs",
    "batch_size",
    "lr",
    "forget_weight",
    "retain_weight",
    "retain_loss",
    "smooth",
    "lora",
    "resume",
  ],
  commands: {
    attribute: command({
      about: "Foretell what a classifier would say had it never learnt some rows, by attributing its outputs to rows.",
      args: "[model]",
      examples: [
        "bun run unlearn attribute plain/ --data unwanted.jsonl --data wanted.jsonl --block 8 --models 4 --epochs 1 -o effects.safetensors",
      ],
      output: "checkpoint",
      options: ATTRIBUTE,
      notes: `A datamodel is a ridge regression of outputs on which blocks of rows a model was trained on, over --models models of the same form,
trained from new weights on random halves of the blocks; it foretells any forget set. With several files of --data no block spans two.
ridge takes the rows out of the ridge regression of the head, exactly where train analytic fitted it; oracle trains models without them.
"unlearn --method dmm" teaches a model what is foretold, "unlearn dm-direct" answers rows by it.`,
      run: async (context) => (await import("../src/unlearn/commands/attribute.ts")).attribute(context),
    }),
    "dm-direct": command({
      about: "Answer rows by what unlearn attribute foretells of a classifier without the rows to forget.",
      args: "<attributions>",
      examples: [
        "bun run unlearn dm-direct effects.safetensors --forget unwanted.jsonl --data wanted.jsonl -o answered.jsonl",
      ],
      output: "text",
      options: DM_DIRECT,
      run: async (context) => (await import("../src/unlearn/commands/dm-direct.ts")).dmDirect(context),
    }),
    importance: command({
      about: "Measure how much each weight matters to all data, for later edits without the data.",
      args: "[model]",
      examples: ["bun run unlearn importance model/ --retain all.jsonl -o importance.safetensors"],
      output: "checkpoint",
      options: IMPORTANCE,
      run: async (context) => (await import("../src/unlearn/commands/importance.ts")).writeImportance(context),
    }),
    "prepare-pd": command({
      about: "Let a model answer the prompts to forget in harmless contexts: the rows of --pd.",
      args: "[model]",
      examples: ["bun run unlearn prepare-pd model/ --data prompts.jsonl --max-tokens 8 -o harmless.jsonl"],
      output: "none",
      options: PREPARE_PD,
      notes: "Do it before anything is unlearned: with --pd the model keeps on answering so.",
      run: async (context) => (await import("../src/unlearn/commands/prepare-pd.ts")).preparePd(context),
    }),
    requests: command({
      about: "Forget one request after the other, and tell what is left of all of them, of neighbours and of the rest.",
      args: "<model>",
      examples: [
        'bun run unlearn requests model/ --request f.jsonl --request h.jsonl --by "npo --steps 2 --retain r.jsonl --retain-loss kl --original @first" --general books.jsonl -o stream/',
      ],
      output: "none",
      options: REQUESTS,
      notes: `Every request is an unlearn on what the one before left, and its model is DIR/request-K. In --by, @first is the model that is named:
"--retain-loss kl --original @first" keeps rows by what it says, and "--penalty-weight 1 --penalty-from @first" bounds the way from it, so
that what is lost does not add up over requests.`,
      run: async (context) => (await import("../src/unlearn/commands/requests.ts")).requests(context),
    }),
    s3t: command({
      about: "Delete rows from a bank of adapters that train s3t wrote: exactly, and without training.",
      args: "<bank>",
      examples: ["bun run unlearn s3t bank/ --forget secrets.jsonl -o smaller-bank/"],
      output: "checkpoint",
      options: S3T,
      notes:
        "Stages that saw the slice of a row are dropped. What is left is, byte for byte, what training without the row gives.",
      run: async (context) => (await import("../src/unlearn/commands/s3t.ts")).unlearnS3t(context),
    }),
  },
  notes: `The loss is --forget-weight times the method's forget term plus --retain-weight times the retain term. A batch has --batch-size rows to
forget and as many to keep. Likelihoods under the original model are computed once. A second model is in memory only for methods that
compare whole distributions or hidden states, as --retain-loss kl does, and with --lora not even then. Resuming and the other options of train
work here too.`,
  run: async (context) => (await import("../src/unlearn/command.ts")).unlearn(context),
});
