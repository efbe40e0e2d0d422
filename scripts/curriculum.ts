#!/usr/bin/env bun
/**
 * Train on groups of data whose mixture, or on rows whose order, follows what the model has learnt.
 *
 *   bun run curriculum model/ --data math=m.jsonl --data code=c.jsonl --method aioli --eval-data math=mv.jsonl --eval-data code=cv.jsonl -o out/
 *   bun run curriculum graph model/ --data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl -o graph.json
 */
import { script } from "../src/cli/script.ts";
import { CURRICULUM } from "../src/curriculum/options.ts";

await script({
  name: "curriculum",
  about: "Train on groups of data whose mixture, or on rows whose order, follows what the model has learnt.",
  args: "[graph, select or plan] [model]",
  examples: [
    "bun run curriculum model/ --data math=m.jsonl --data code=c.jsonl --method static --mixture 0.3,0.7 --steps 1000 -o out/",
    "bun run curriculum model/ --data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl --method aioli --steps 1000 --log run.jsonl -o out/",
    "bun run curriculum graph model/ --data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl -o graph.json",
    "bun run curriculum model/ --data a=a.jsonl --data b=b.jsonl --eval-data a=av.jsonl --eval-data b=bv.jsonl --method skill-it --graph graph.json --steps 1000 -o out/",
    "bun run curriculum model/ --data a=a.jsonl --data b=b.jsonl --schedule-from run.jsonl --steps 1000 -o out/",
    "bun run curriculum model/ --data rows.jsonl --method length --epochs 2 -o out/",
    "bun run curriculum select model/ --data rows.jsonl --select-by dp-means --keep 1000 > chosen.jsonl",
    "bun run curriculum plan --flops 1e18 --tokens 1e9",
  ],
  methods: "curriculum",
  defaultMethod: "stratified",
  // Of sub-commands -o takes the text, and stdout may tell of it.
  output: (_, [first]) => (first === "graph" || first === "select" || first === "plan" ? "none" : "checkpoint"),
  options: CURRICULUM,
  grace: 600,
  notes: `A sampler draws the group of every row; a group gives all of its rows once before it repeats one. Methods that follow losses hear
those of --eval-data, whose groups are named as those of --data. Mixtures are logged (--log), and --schedule-from draws the same
batches again. An ordering says which rows a pass goes through, in which order. Steps are optimizer steps; probes of a method count as
steps. Resuming and all that train has work here too.`,
  run: async (context) => (await import("../src/curriculum/command.ts")).curriculum(context as never),
});
