#!/usr/bin/env bun
/**
 * Turn logs of runs into one offline page, a figure or a table.
 *
 *   bun run report run.jsonl > report.html
 *   bun run report a.jsonl b.jsonl --md
 */
import { script } from "../src/cli/script.ts";
import { REPORT, report } from "../src/report/command.ts";

await script({
  name: "report",
  about: "Turn logs of runs into one offline page, a figure or a table.",
  args: "[...logs]",
  examples: [
    "bun run report run.jsonl > report.html",
    "bun run report a.jsonl b.jsonl --md",
    "bun run report a.jsonl b.jsonl --axis tokens -o curves.png",
    "bun run report run.jsonl --csv > points.csv",
    "bun run report a.jsonl b.jsonl --json | jq '.runs[] | [.name, .last.loss]'",
  ],
  output: "none",
  options: REPORT,
  notes: `Logs are what scripts write with --log FILE. The page holds everything it needs and asks for nothing. Without a flag the ending of
-o says what is written: .html, .svg, .png, .csv, .md or .json. --json gives last values, options and tables on stdout; with -o FILE.html
(or another form) both. Of steps that a resumed run did again, the later word counts.`,
  run: report,
});
