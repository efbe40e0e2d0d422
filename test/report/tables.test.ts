import { expect, test } from "bun:test";
import { runsOf } from "../../src/report/read.ts";
import { toCsv, toMarkdown } from "../../src/report/tables.ts";
import { lines, runs, start } from "./logs.ts";

test("tables for papers and spreadsheets", () => {
  expect(toMarkdown(runs)).toContain("| a | ok | 1 | 2 | 0.1 |\n| b | unfinished | 4 |  | 0.1 |");
  expect(toMarkdown(runs)).toContain("| lr | 0.1 | 0.2 |");
  expect(toMarkdown(runs)).toContain("| loss | 0.5 |");
  const rows = [{ metric: "loss", interval: [1.0946509, 1.2931154] }];
  expect(toMarkdown(runsOf("e.jsonl", lines([start, { event: "result", value: { rows } }])))).toContain(
    "| loss | 1.0947 to 1.2931 |",
  );
  expect(toCsv(runs).split("\n").slice(0, 3)).toEqual([
    "run,metric,step,seconds,tokens,value",
    "a,loss,1,0.1,100,3",
    "a,loss,2,0.2,200,",
  ]);
});
