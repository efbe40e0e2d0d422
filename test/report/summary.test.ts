import { expect, test } from "bun:test";
import { toSummary } from "../../src/report/summary.ts";
import { runs } from "./logs.ts";

test("the summary has where every run ended, what tells them apart, and their tables", () => {
  const told = JSON.parse(JSON.stringify(toSummary(runs)));
  expect(told.runs[0]).toEqual({
    name: "a",
    file: "a.jsonl",
    run: "r1",
    script: "train",
    status: "ok",
    version: "1",
    seed: 0,
    options: { lr: 0.1, steps: 3 },
    step: 3,
    seconds: 0.3,
    last: { loss: 1, "eval loss (a)": 2, lr: 0.1 },
    tables: [],
    out: "model/",
    warnings: [],
    bad_lines: [],
  });
  expect(told.runs[1]).toMatchObject({ status: "unfinished", tables: [[{ metric: "loss", value: 0.5 }]] });
  expect(told.differences).toEqual([{ option: "lr", values: [0.1, 0.2] }]);
});
