/** Grids of evaluations, with numbers worked out by hand. */
import { describe, expect, test } from "bun:test";
import { evaluationCsv, evaluationSheet, evaluationText } from "../../../src/run/evaluation/documents.ts";
import { evaluationForm } from "../../../src/run/evaluation/form.ts";
import { gridOf } from "../../../src/run/evaluation/grid.ts";
import { type Better, bestOf, type EvaluationRow } from "../../../src/run/evaluation/row.ts";
import { latexDocument } from "../../../src/text/latex.ts";
import { markdownTable } from "../../../src/text/markdown.ts";

const row = (model: string, metric: string, value: number, more: Partial<EvaluationRow> = {}): EvaluationRow => ({
  model,
  group: "all",
  metric,
  value,
  rows: 4,
  better: "higher",
  ...more,
});
const run = (seed: string) => ({ seeds_of: "a-s*", seed });
const WIDE = { width: 80, cuts: false };

test.each<[readonly number[], Better, number | undefined]>([
  [[1, 2, 3], "higher", 3],
  [[1, 2, 3], "lower", 1],
  [[0.2, 0.6, 0.9], 0.5, 0.6],
  [[1, 2], "none", undefined],
  [[1], "higher", undefined],
  [[Number.NaN, 1, 2], "lower", 1],
  [[2, 2], "higher", undefined],
])("of %j, where better is %s, the best is %d", (values, better, best) => {
  expect(bestOf(values, better)).toBe(best);
});

describe("a grid", () => {
  const rows = [
    row("a-s0", "acc", 0.2, run("0")),
    row("a-s1", "acc", 0.6, run("1")),
    row("a-s2", "acc", 0.7, run("2")),
    row("b/", "acc", 0.4),
    row("gold", "acc", 0.9, { gold: true }),
    row("b/", "acc f1", 0.1, { better: undefined }),
    row("b/", "loss", 3, { better: "lower", rows: 3 }),
  ];

  test("has the mean and the deviation over seeds, and marks the best that is not gold", () => {
    const { metrics, blocks, details } = gridOf(rows);
    expect([metrics, details]).toEqual([["acc", "loss"], ["acc f1"]]);
    const [{ lines, rows: n, otherRows } = { lines: [], rows: 0, otherRows: [] }] = blocks;
    expect([n, otherRows]).toEqual([4, [{ metric: "loss", rows: "3" }]]);
    expect(lines.map(({ name, runs, isGold }) => [name, runs, isGold])).toEqual([
      ["a-s*", 3, false],
      ["b/", 1, false],
      ["gold", 1, true],
    ]);
    // mean 0.5, squares 0.09 + 0.01 + 0.04 = 0.14, over 2
    expect(lines[0]!.cells[0]).toEqual({ value: 0.5, deviation: expect.closeTo(Math.sqrt(0.07), 12), isBest: true });
    expect(lines.map(({ cells }) => [cells[0]?.isBest, cells[1]?.isBest])).toEqual([
      [true, undefined],
      [false, false],
      [false, undefined],
    ]);
  });

  test("a model that is measured twice has two lines, and is not taken for its gold", () => {
    const twice = [
      row("a", "x", 1),
      row("a", "x", 1),
      row("a", "x", 1, { gold: true }),
      row("a", "y", 2),
      row("a", "y", 2),
    ];
    const [block] = gridOf(twice).blocks;
    expect(block!.lines.map(({ name, isGold, cells }) => [name, isGold, cells.map((cell) => cell?.value)])).toEqual([
      ["a", false, [1, 2]],
      ["a #2", false, [1, 2]],
      ["a", true, [1, undefined]],
    ]);
  });

  test("as text: names without their slash, n once, what is left out and how it is got", () => {
    expect(evaluationText(rows, WIDE).split("\n")).toEqual([
      "                      acc    loss",
      "a-s* (3)    0.5000±0.2646*",
      "b                  0.4000  3.0000",
      "gold (gold)        0.9000",
      "n 4 (loss 3). *: best of its column, where one side is better. ±: standard",
      "deviation over seeds, whose number stands behind the name. --long: details (1).",
    ]);
  });

  test("as CSV: every number, with its columns", () => {
    const lines = evaluationCsv([
      row("a,b", "acc", 0.5, { ...run("1"), interval: [0.25, 0.75], difference: -1, difference_interval: [-2, 0] }),
      row("b", "acc", Number.NaN),
    ]).split("\r\n");
    expect(lines).toEqual([
      "model,seeds_of,seed,gold,group,metric,better,value,interval_low,interval_high,difference,difference_low,difference_high,rows",
      '"a,b",a-s*,1,false,all,acc,higher,0.5,0.25,0.75,-1,-2,0,4',
      "b,,,false,all,acc,higher,,,,,,,4",
      "",
    ]);
  });

  test("as Markdown and as LaTeX: the same cells", () => {
    const groups = rows.map((each) => ({ ...each, group: "one" }));
    const both = [...rows, ...groups];
    expect(markdownTable(evaluationSheet(both)).split("\n").slice(0, 5)).toEqual([
      "| model | acc | loss |",
      "|---|---:|---:|",
      "| *all, n 4 (loss 3)* |  |  |",
      "| a-s\\* (3) | **0.5000±0.2646** |  |",
      "| b | 0.4000 | 3.0000 |",
    ]);
    expect(latexDocument([evaluationSheet(both)])).toContain(
      "\\multicolumn{3}{l}{\\textit{all, n 4 (loss 3)}} \\\\\na-s{*} (3) & \\textbf{0.5000$\\pm$0.2646} &  \\\\\nb & 0.4000 & 3.0000 \\\\\n",
    );
  });

  test("of one model has groups as lines", () => {
    const groups = ["all", "x", "y"].map((group, i) => row("m/", "acc", i / 10, { group, rows: 2 + i }));
    expect(evaluationText(groups, WIDE).split("\n")).toEqual([
      "            acc",
      "all, n 2 0.0000",
      "x, n 3   0.1000",
      "y, n 4   0.2000",
      "m.",
    ]);
  });
});

describe("a narrow terminal", () => {
  const metrics = ["loss", "paraphrased-probability", "exact-match", "extraction-strength", "truth-ratio"];
  const rows = ["experiments/unlearning/npo-long-name", "experiments/unlearning/npo-short-name"].flatMap((model, m) =>
    metrics.map((metric, i) => row(model, metric, m + i / 7)),
  );

  test.each([120, 90, 80, 60, 44, 30])("of %d columns is kept to, and what has no room is named", (width) => {
    const text = evaluationText(rows, { width, cuts: true });
    const lines = text.split("\n");
    const table = lines.slice(
      0,
      lines.findIndex((line) => line.startsWith("n 4.")),
    );
    for (const line of table) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
    const cells = table.at(-1)!.trim().split(/ +/).length - 1;
    const left =
      text
        .replaceAll("\n", " ")
        .match(/No room for (.*?): widen/)?.[1]
        ?.split(", ") ?? [];
    expect(left).toEqual(metrics.slice(cells));
    // The two models are still told apart.
    expect(table.at(-1)!.split(" ")[0]).not.toBe(table.at(-2)!.split(" ")[0]);
  });

  test("is no reason to cut what goes into a file", () => {
    expect(evaluationText(rows, { width: 30, cuts: false })).not.toContain("No room");
  });
});

test("the ending of a file says its form", () => {
  expect(
    ["e.csv", "E.JSON", "e.jsonl", "e.md", "e.tex", "e.txt", "table", "-", "/dev/stdout"].map(evaluationForm),
  ).toEqual(["csv", "json", "jsonl", "md", "tex", "txt", undefined, undefined, undefined]);
  expect(() => evaluationForm("e.xlsx")).toThrow("evaluate writes no .xlsx file, found -o e.xlsx");
});
