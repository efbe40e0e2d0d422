import { expect, test } from "bun:test";
import { markdownTable } from "../../src/text/markdown.ts";
import { plainSheet } from "../../src/text/sheet.ts";

test("a table: columns of numbers stand right, blocks have a title, the best is bold, nothing in a cell is markup", () => {
  const sheet = {
    header: ["model", "loss"],
    align: "lr",
    blocks: [
      { title: "all, n 2", rows: [[{ text: "a|b*" }, { text: "0.5", strong: true }]] },
      { rows: [[{ text: "<i>`\\" }, { text: "" }]] },
    ],
    notes: ["Bold: best.", "n."],
  };
  expect(markdownTable(sheet).split("\n")).toEqual([
    "| model | loss |",
    "|---|---:|",
    "| *all, n 2* |  |",
    "| a\\|b\\* | **0.5** |",
    "| \\<i>\\`\\\\ |  |",
    "",
    "Bold: best. n.",
    "",
  ]);
});

test("plain texts: a column is of numbers where every cell is one or empty", () => {
  const { align } = plainSheet([
    ["model", "x", "y", "z"],
    ["a_b", "-1", "0.5 to 1", ""],
    ["c", ".5", "-", "3"],
  ]);
  expect(align).toBe("lrlr");
});
