#!/usr/bin/env bun
/**
 * Train a model on data, whole or through a LoRA adapter.
 *
 *   bun run train model/ --data rows.jsonl --steps 20 -o trained/
 *   bun run train model/ --data rows.jsonl --lora -o adapter/
 */
import { command, script } from "../src/cli/script.ts";
import { ANALYTIC } from "../src/train/analytic/options.ts";
import { STRAGGLERS } from "../src/train/coded/options.ts";
import { train } from "../src/train/command.ts";
import { EXITS } from "../src/train/exits/options.ts";
import { BOOST } from "../src/train/layers/boosting-options.ts";
import { STAGES } from "../src/train/layers/stages-options.ts";
import { TRAIN } from "../src/train/options.ts";
import { RESERVOIR } from "../src/train/reservoir/options.ts";
import { FIT, SEARCH } from "../src/train/routers/options.ts";
import { S3T } from "../src/train/s3t/options.ts";
import { SPACES } from "../src/train/spaces/options.ts";
import { REPLAY, ZO_BYTE } from "../src/train/zeroth/options.ts";

await script({
  name: "train",
  about: "Train a model on data, whole or through a LoRA adapter.",
  args: "[model]",
  examples: [
    "bun run train model/ --data rows.jsonl --steps 20 -o trained/",
    "bun run train model/ --data rows.jsonl --lora --lora-rank 8 -o adapter/",
    "bun run train base/+adapter/ --lora-continue --data rows.jsonl -o adapter2/",
    "bun run train --init config.json --tokenizer byte --data text.jsonl --epochs 2 -o model/",
    "bun run merge a/ b/ --method linear | bun run train --data rows.jsonl --steps 20 > healed.safetensors",
  ],
  output: ({ worker }) => (worker ? "none" : "checkpoint"),
  options: TRAIN,
  essentials: [
    "init",
    "data",
    "eval_data",
    "steps",
    "epochs",
    "batch_size",
    "max_length",
    "loss",
    "optimizer",
    "lr",
    "schedule",
    "clip",
    "adapter",
    "lora",
    "lora_rank",
    "freeze",
    "resume",
  ],
  notes: `Rows of data: {"text"}, {"prompt", "completion"}, {"messages"}, {"input_ids", "labels"}, {"x", "label"} for classifiers,
or {"query", "positive", "negative"} with --loss infonce.
The first Ctrl-C finishes the step and saves the state. The same command with --resume continues and gives the same bytes as an
uninterrupted run. If the result goes to stdout, states are saved only where --state names a folder.
--train-only and --freeze take glob patterns of tensor names. Without --clip gradients are not clipped.`,
  commands: {
    analytic: command({
      about: "Fit the head of a frozen classifier in closed form, so that rows can be taken out again exactly.",
      args: "[model]",
      examples: ["bun run train analytic plain/ --data blobs.jsonl --ridge 0.5 -o fitted/"],
      output: "checkpoint",
      options: ANALYTIC,
      notes: `The head is the ridge regression of one-hot labels on what it reads. The file keeps what it was fitted by in tensors analytic.*, and a
digest of every row; no row itself. A second call on the result learns further rows, "unlearn --method analytic" takes rows out: each
gives what a fit of all rows that are left would. Training the result on leaves the state out.`,
      run: async (context) => (await import("../src/train/commands/analytic.ts")).fitHead(context),
    }),
    reservoir: command({
      about: "Fit the readout of a random recurrent network whose inhibition adapts, to a series of numbers.",
      args: "[reservoir]",
      examples: ["bun run train reservoir --data waves.jsonl --units 50 --washout 20 -o reservoir.safetensors"],
      output: "checkpoint",
      options: RESERVOIR,
      essentials: ["data", "map", "units", "inhibition", "homeostasis", "adapt_passes", "rate", "ridge", "memory"],
      notes: `The last steps of the series are measured, and nothing is learnt of them. A reservoir that is named reads the series as it is,
which --map writes. Errors are root mean squares over deviations: 1 is what the mean gives.`,
      run: async (context) => (await import("../src/train/commands/reservoir.ts")).reservoir(context),
    }),
    "align-spaces": command({
      about: "Train a mixture of experts that maps vectors of two spaces onto each other.",
      args: "[connector]",
      examples: [
        "bun run train align-spaces --data vectors.jsonl --hidden 0 --steps 400 --lr 1e-2 -o connector.safetensors",
      ],
      output: "checkpoint",
      options: SPACES,
      notes: `Even steps teach the way from a to b, odd ones that from b to a. Both share the experts, and each has a gate of its own. Experts begin
as the identity. retrieval@1 is the share of held-out vectors whose nearest one in the other space, by cosine, is their pair's.
A connector is gone on from with its options of experts; with --steps 0 --map it maps rows.`,
      run: async (context) => (await import("../src/train/commands/align-spaces.ts")).alignSpaces(context),
    }),
    boost: command({
      about: "Build a perceptron by boosting, some units at a time.",
      examples: ["bun run train boost --init sigmoids.json --data blobs.jsonl --block 5 -o boosted/"],
      output: "checkpoint",
      options: BOOST,
      notes: `Each block of units learns what the blocks before leave over (gradient boosting), and all are one network in the end. The first units
matter most: the last ones may be switched off. Classes are learnt by cross-entropy, numbers (problem_type regression) by squares.`,
      run: async (context) => (await import("../src/train/commands/boost.ts")).boost(context),
    }),
    exits: command({
      about: "Train exits of a classifier: heads at inner layers, and gates that say which rows leave there.",
      args: "[model]",
      examples: ["bun run train exits by-layer/ --data blobs.jsonl --at 1 --epochs 2 -o by-layer.exits.safetensors"],
      output: "checkpoint",
      options: EXITS,
      notes: `The model stays as it is; heads read the states of its layers, pooled over tokens or patches. Gates and heads take turns: gates learn
where loss and --lambda times the cost are least, heads learn from the rows that leave at them. A cost is the share of the model's
multiplications until there. "evaluate exits" compares gates with a threshold of confidence on the same heads.`,
      run: async (context) => (await import("../src/train/commands/exits.ts")).trainExits(context),
    }),
    replay: command({
      about: "Make the result of train zo-byte again, from the model that it began with and its bytes.",
      args: "[model]",
      examples: ["bun run train replay base/ --codes steps.safetensors -o again/"],
      output: "checkpoint",
      options: REPLAY,
      notes: `No data and no forward pass is needed. The weights are those of the training, bit for bit: digests of both are compared.`,
      run: async (context) => (await import("../src/train/commands/replay.ts")).replay(context),
    }),
    "route-search": command({
      about: "Search short ways through a model's layers that answer rows right.",
      args: "[model]",
      examples: ["bun run train route-search adds/ --data rows.jsonl --rounds 6 -o ways.jsonl"],
      output: "text",
      options: SEARCH,
      notes: `A way leaves layers out or runs them twice. Rows come back with layer_turns, how often each layer runs on the shortest right way
that was found; rows that no way answers right are left out. An answer is right where greedy decoding gives it to the letter.`,
      run: async (context) => (await import("../src/train/commands/route-search.ts")).routeSearch(context),
    }),
    routers: command({
      about: "Fit routers to ways that were found: they say of a prompt which layers run, and which run twice.",
      args: "[model]",
      examples: ["bun run train routers adds/ --data ways.jsonl --epochs 2 --warmup 0 -o adds.routers.safetensors"],
      output: "checkpoint",
      options: FIT,
      notes: `The model stays as it is. "sample --routers" writes with the routers' choice, and "sample --router-dial" moves it towards skipping,
running or repeating all layers; "evaluate --routers" measures a model so.`,
      run: async (context) => (await import("../src/train/commands/routers.ts")).trainRouters(context),
    }),
    s3t: command({
      about:
        "Train adapters shard by shard and slice by slice, so that rows can be deleted exactly and without training.",
      args: "[model]",
      examples: [
        "bun run train s3t model/ --data secrets.jsonl --data books.jsonl --shards 2 --slices 2 --budget 2 --epochs 1 -o bank/",
      ],
      output: "checkpoint",
      options: S3T,
      notes: `Stage k of an order trains LoRA in the k-th group of layers from the top, and a classifier's head, on the order's first k slices;
the bank keeps every stage. "evaluate base/+bank/" averages, over the shards, what the longest order that is left says; "unlearn s3t" drops
stages that saw a row. With B orders a shard lasts for L (1 + 1/2 + .. + 1/B) deletions in the mean.`,
      run: async (context) => (await import("../src/train/commands/s3t.ts")).trainS3t(context),
    }),
    stages: command({
      about: "Train layers of a perceptron one after the other.",
      args: "<stages> [model]",
      examples: ["bun run train stages layers.json --init two-layers.json --cache below/ -o by-layer/"],
      output: "checkpoint",
      options: STAGES,
      notes: `The file is a list of stages: {"train": GLOBS, "data": FILES}, and if wanted "loss", "steps", "lr" and "batch_size". Weights that no
glob of a stage names are frozen in it. With --cache the hidden state where the first trained layer begins is computed once for all rows.`,
      run: async (context) => (await import("../src/train/commands/stages.ts")).stages(context),
    }),
    stragglers: command({
      about: "Compare coded ways to share gradients out among workers that are slow now and then, by simulation.",
      examples: ["bun run train stragglers --workers 8 --jobs 100"],
      options: STRAGGLERS,
      notes: `Workers are slow by a chain of two states. Each scheme has the settings that are fastest on rounds that were recorded before. plain waits for
all; gc is a gradient code, which waits for all but s; sr-sgc and m-sgc let a job be due some rounds later (delay), so that several trainings
must take turns. load is the share of a gradient that a worker makes in a round.`,
      run: async (context) => (await import("../src/train/commands/stragglers.ts")).stragglers(context),
    }),
    "zo-byte": command({
      about: "Train by forward passes alone: every sample gives a byte, and the bytes are all that a step needs.",
      args: "[model]",
      examples: [
        "bun run train zo-byte base/ --data rows.jsonl --lora --lora-rank 4 --steps 20 --samples 4 --lr 1e-2 --codes steps.safetensors -o by-bytes/",
      ],
      output: ({ worker }) => (worker ? "none" : "checkpoint"),
      options: ZO_BYTE,
      notes: `A sample moves all trained weights a little along a direction of its own and back, and compares the losses of its micro-batch. Sign and
logarithm of the slope are its byte. Nothing goes back through the model. With --codes the bytes are kept: "train replay" makes the
result of the model and them.`,
      run: async (context) => (await import("../src/train/commands/zo-byte.ts")).zoByte(context),
    }),
  },
  run: train,
});
