/** Options of the `merge` script that its sub-commands share, and theirs. */
import { GGUF } from "../checkpoint/gguf/write/options.ts";
import type { Options } from "../method/options.ts";

/** How a result is written. */
export const WRITING = {
  adapter_rank: {
    type: "number.integer >= 1",
    value: "N",
    help: "rank of the result where all models are adapters; the largest of theirs when left out",
  },
  shards: { type: "number.integer >= 1", value: "N", help: "number of files in the output folder" },
  shard: {
    type: "string",
    value: "I/N",
    help: "write only the I-th of N files; other processes write the others",
  },
  shard_size: { type: "string", default: "5GB", value: "SIZE", help: "largest file in the output folder" },
  out_shard_size: { type: "string", value: "SIZE", help: "of mergekit: the same as --shard-size" },
  ...GGUF,
} as const satisfies Options;

export const LAYERSHUFFLE = {
  model: {
    type: "string[]",
    short: "m",
    value: "MODEL",
    help: "a model, as the arguments are; may be given several times",
  },
  weight: {
    type: "number[]",
    short: "w",
    value: "W",
    help: "one per model: how likely its blocks are; with --full-random how many of its blocks, as a share. Alike when left out",
  },
  full_random: { type: "boolean", default: false, help: "blocks in random order too, each by chance any of its model" },
  print_recipe: { type: "boolean", default: false, was: ["print_yaml"], help: "print the recipe" },
  write_recipe: {
    type: "string",
    value: "FILE",
    was: ["write_yaml"],
    writes: "text",
    help: "write the recipe to a file, from which `merge FILE` makes the same bytes; without -o nothing else is made",
  },
  dtype: {
    type: "string",
    value: "DTYPE",
    help: "type of the result: float32, bfloat16, float16; the models' when left out",
  },
  fp16: { type: "boolean", help: "of mergekit: the same as --dtype float16" },
  explain: { type: "boolean", help: "print where every tensor is from, and stop" },
  random_seed: { type: "number.integer >= 0", value: "N", help: "of mergekit: the same as --seed" },
  ...WRITING,
} as const satisfies Options;

interface Asked {
  readonly out: string;
  readonly print_recipe: boolean;
  readonly write_recipe?: string;
}

/** Whether a recipe is wanted and no checkpoint. */
export const isRecipeAlone = ({ out, print_recipe, write_recipe }: Asked): boolean =>
  out === "-" && (print_recipe || write_recipe !== undefined);
