#!/usr/bin/env bun
/**
 * Turn logs of runs into one offline page, a figure or a table.
 *
 *   bun run report run.jsonl > report.html
 *   bun run report a.jsonl b.jsonl --md
 */
import { script } from "../src/cli/script.ts";
import { report } from "../src/report/command.ts";
import { REPORT } from "../src/report/options.ts";

await script({
  name: "report",
  about: "Turn logs of runs, evaluations, sweeps and checkpoints into one offline page, a figure or a table.",
  args: "[...logs]",
  examples: [
    "bun run report run.jsonl > report.html",
    "bun run report a.jsonl b.jsonl --md",
    "bun run report a.jsonl b.jsonl --axis tokens -o curves.png",
    "bun run report run.jsonl --csv > points.csv",
    "bun run report e.json -o table.tex",
    "bun run report tried/ -o tried.html",
    "bun run report --follow a.jsonl",
    "bun run report a.jsonl b.jsonl --json | jq '.runs[] | [.name, .last.loss]'",
  ],
  output: "none",
  options: REPORT,
  essentials: Object.keys(REPORT),
  notes: `Scripts write logs with --log FILE; a folder of sweep is its trials, what sample --json wrote is shown side by side, and of a checkpoint its
lineage is drawn. The page holds everything it needs and works offline. Without a flag the ending of -o says
what is written: .html, .svg, .png, .csv, .md, .tex or .json. --json prints last values, options and tables on stdout; with -o FILE.html
(or another form) both. Where a resumed run repeats steps, their later values count.`,
  run: report,
});
