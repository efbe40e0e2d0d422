#!/usr/bin/env bun
/**
 * Make a checkpoint smaller: set weights to zero, round them to few bits.
 *
 *   bun run compress model/ --prune wanda --sparsity 0.5 --calibration rows.jsonl -o sparse/
 *   bun run compress model/ --quant gptq --bits 4 --calibration rows.jsonl -o small/
 */
import { command } from "../src/cli/commands.ts";
import { script } from "../src/cli/script.ts";
import { BIT_SEARCH } from "../src/compress/bit-search/options.ts";
import { DEPTH } from "../src/compress/depth-options.ts";
import { EXPERTS } from "../src/compress/experts/options.ts";
import { EXTRACT } from "../src/compress/extract-options.ts";
import { FACTOR } from "../src/compress/factor-options.ts";
import { COMPRESS } from "../src/compress/options.ts";
import { ROTATE } from "../src/compress/rotation/options.ts";
import { UPCYCLE } from "../src/compress/upcycle-options.ts";
import { WIDTH } from "../src/compress/width/options.ts";

await script({
  name: "compress",
  about: "Make a checkpoint smaller: set weights to zero, round them to few bits.",
  args: "[model]",
  examples: ["bun run compress model/ --quant rtn --bits 4 --group 64 -o small/"],
  output: "checkpoint",
  options: COMPRESS,
  essentials: ["prune", "sparsity", "pattern", "quant", "bits", "group", "only", "ignore", "calibration", "out_dtype"],
  commands: {
    depth: command({
      about: "Leave layers out of a model, and write what is left as a plain checkpoint.",
      args: "[model]",
      examples: [
        "bun run compress depth model/ --layers 0 -o shallow/",
        "bun run compress depth model/ --method loss --drop 1 --calibration rows.jsonl -o shallower/",
      ],
      methods: "depth-rule",
      defaultMethod: "uniform",
      output: "checkpoint",
      options: DEPTH,
      notes: `What is left has lost much, and is to be healed: the pipe into distill --teacher model/ does it.
"sample --skip-layers" leaves layers out while it writes, and reads the prompt with all of them.`,
      run: async (context) => (await import("../src/compress/commands/depth.ts")).depth(context),
    }),
    extract: command({
      about: "Cut a smaller model out of one that was trained for it.",
      args: "[model]",
      examples: ["bun run compress extract model/ --width 0.5 --depth 1 -o half/"],
      output: "checkpoint",
      options: EXTRACT,
      notes: `The first heads, hidden units and blocks stay: those of the smaller models that train --supernet trains inside of a model.`,
      run: async (context) => (await import("../src/compress/commands/extract.ts")).extract(context),
    }),
    experts: command({
      about: "Drop the experts of a mixture that rows need least.",
      args: "[model]",
      examples: [
        "bun run compress experts mixture/ --keep 1 --calibration rows.jsonl --write-recipe kept.jsonl -o fewer/",
        "bun run compress experts mixture/ --recipe kept.jsonl -o again/",
      ],
      output: "checkpoint",
      options: EXPERTS,
      notes: `Every layer keeps as many, as config.json counts them once; rows of routers go with their experts. The lines of --write-recipe say
which stay and what was measured, and --recipe does the same to another model. bun run merge msmoe merges experts instead.`,
      run: async (context) => (await import("../src/compress/commands/experts.ts")).experts(context),
    }),
    factor: command({
      about: "Put products of two thin matrices in the place of linear layers.",
      args: "[model]",
      methods: "factorization",
      examples: [
        "bun run compress factor model/ --method svd --rank 8 -o thin/",
        "bun run compress factor model/ --method asvd --parameters 0.5 --calibration rows.jsonl -o thinner/",
      ],
      output: "checkpoint",
      options: FACTOR,
      notes: `Factors are multiplied out, as no architecture here holds two matrices for one: the result is as large as before, and tells what a rank
costs. An adapter (bun run adapt extract) holds a difference to a base as two thin matrices.`,
      run: async (context) => (await import("../src/compress/commands/factor.ts")).factor(context),
    }),
    width: command({
      about: "Take heads and hidden units out of every block.",
      args: "[model]",
      examples: [
        "bun run compress width model/ --heads 0.5 --neurons 0.5 -o narrow/",
        "bun run compress width model/ --neurons 0.5 --by taylor --calibration rows.jsonl -o narrower/",
      ],
      output: "checkpoint",
      options: WIDTH,
      notes: `Every block keeps as many, as config.json has one number for all; gpt2 and vit list heads that are gone as pruned_heads. What is left
computes what the whole model does with all else silent; train or distill it to win back what that costs.`,
      run: async (context) => (await import("../src/compress/commands/width.ts")).width(context),
    }),
    search: command({
      about: "Say how many bits each matrix is to have under a budget.",
      args: "[model]",
      examples: ["bun run compress search model/ --budget 3.1bits --calibration rows.jsonl -o plan.json"],
      output: "none",
      options: BIT_SEARCH,
      essentials: ["budget", "bits", "by", "quant", "group", "symmetric", "calibration"],
      notes: `The model is rounded once for each number of bits, and what that costs every matrix is measured on the way. --plan of compress reads the
result. Bits are those of codes; a size counts scales, zero points, and all other tensors as they are stored.`,
      run: async (context) => (await import("../src/compress/commands/search.ts")).search(context),
    }),
    upcycle: command({
      about: "Make a mixture of a dense model: its feed-forward networks beside experts that begin as copies.",
      args: "[model]",
      examples: ["bun run compress upcycle model/ --experts 4 -o mixture/"],
      output: "checkpoint",
      options: UPCYCLE,
      notes: `Train the result with --ternary '*.experts.*', so that each expert takes 2 bits a weight: compress --quant rtn --bits 2 --symmetric --absmax
--group -1 --only '*.mlp.experts.*' packs them as they are.`,
      run: async (context) => (await import("../src/compress/commands/upcycle.ts")).upcycle(context),
    }),
    rotate: command({
      about: "Turn a model's inner values by random Hadamard matrices, so that rounding costs less.",
      args: "[model]",
      examples: ["bun run compress rotate model/ -o turned/"],
      output: "checkpoint",
      options: ROTATE,
      notes: `The model computes what it did. Norms' gains go into the layers behind them; a head that was the embedding becomes a tensor of its own.`,
      run: async (context) => (await import("../src/compress/commands/rotate.ts")).rotate(context),
    }),
  },
  notes: `Linear layers of blocks are changed; embeddings, norms, heads and routers stay. With --calibration every block is measured behind those
that are changed already, a block in memory at a time, and the error of each layer is that of what it gives.`,
  run: async (context) => (await import("../src/compress/command.ts")).compress(context),
});
