/** The examples of docs/data.md are rows, and all formats have one. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseRow } from "../../src/data/parse-row.ts";
import { ROW_FORMATS } from "../../src/data/row-formats.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/data.md"), "utf8");
const examples = [...page.matchAll(/^\| [^|]+ \| `(\{.*?\})` \|/gm)].map(([, row]) => JSON.parse(row!));

test("every example is read", () => {
  expect(examples.map((row) => parseRow(row, "docs/data.md").form)).toEqual([
    "text",
    "completion",
    "messages",
    "messages",
    "messages",
    "messages",
    "messages",
    "preference",
    "completion",
    "prompt",
    "tokens",
    "example",
    "example",
    "example",
    "example",
    // A classifier reads the label beside these.
    "text",
    "pair",
    "pair",
    "pair",
    "tokens",
  ]);
});

test("every format of the table has an example", () => {
  for (const { needs } of ROW_FORMATS.flat())
    expect([needs, examples.some((row) => needs.every((key) => key in row))]).toEqual([needs, true]);
});
