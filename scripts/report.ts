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
    "bun run report a.jsonl b.jsonl --png --axis tokens > curves.png",
    "bun run report run.jsonl --csv > points.csv",
  ],
  output: ({ png }) => (png ? "none" : "text"),
  options: REPORT,
  notes: "Logs are what scripts write with --log FILE. The page holds everything it needs and asks for nothing.",
  run: report,
});
