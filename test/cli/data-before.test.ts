/** `data demos` and `data metadata`: what stands before a prompt or a document. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

type Row = Readonly<Record<string, string>>;
let folder = "";
const SUMS = ["red one", "red two", "blue two", "red one"].map((prompt, i) => ({
  prompt,
  completion: ` ${i}`,
  id: `${i}`,
}));
const TEXTS = Array.from({ length: 60 }, (_, i) => ({ text: `document ${i}`, url: `https://site${i % 3}.org/${i}` }));
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-before-"));
  writeFileSync(join(folder, "sums.jsonl"), jsonl(SUMS));
  writeFileSync(
    join(folder, "bank.jsonl"),
    jsonl([
      { prompt: "blue", completion: "!" },
      { prompt: "two", completion: "?" },
    ]),
  );
  writeFileSync(join(folder, "texts.jsonl"), jsonl(TEXTS));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function rowsOf(line: string): Promise<Row[]> {
  const { code, text, err } = await runScript("data", [...line.split(" "), "-q"], folder);
  expect([line, code, err]).toEqual([line, 0, ""]);
  return text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row));
}

test("demonstrations share words with the prompt, the best last, and none asks the same", async () => {
  const shown = await rowsOf("demos sums.jsonl --demo-count 2 --separator ;");
  expect(shown.map(({ prompt }) => prompt)).toEqual([
    "red two 1;red one",
    expect.stringMatching(/^(blue two 2;red one 0|red one 0;blue two 2);red two$/),
    "red two 1;blue two",
    "red two 1;red one",
  ]);
  expect(shown.map(({ prompt, ...others }) => others)).toEqual(SUMS.map(({ prompt, ...others }) => others));
  const banked = await rowsOf("demos sums.jsonl --bank bank.jsonl --demo-count 1 --separator ;");
  expect(banked.map(({ prompt }) => prompt)).toEqual([
    "red one",
    "two?;red two",
    expect.stringMatching(/^(two\?|blue!);blue two$/),
    "red one",
  ]);
});

test("no demonstrations leave the rows alone; random ones follow the seed", async () => {
  expect(await rowsOf("demos sums.jsonl --demo-count 0")).toEqual(SUMS);
  const any = await rowsOf("demos sums.jsonl --demo-count 1 --retriever random --separator ;");
  expect(any.every(({ prompt }) => /^[a-z ]+ \d;[a-z ]+$/.test(prompt!))).toBe(true);
  expect(await rowsOf("demos sums.jsonl --demo-count 1 --retriever random --separator ;")).toEqual(any);
});

test("metadata are a prompt, and the parts share no row", async () => {
  const all = await rowsOf("metadata texts.jsonl --field url --written-as host --layout <{v}>");
  expect(all[4]).toEqual({ url: TEXTS[4]!.url, prompt: "<site1.org>", completion: "document 4" });
  const given = "metadata texts.jsonl --field url --cooldown 0.3 --part";
  const [marked, plain] = [await rowsOf(`${given} marked`), await rowsOf(`${given} plain`)];
  expect(plain.every((row) => "text" in row)).toBe(true);
  expect([...marked.map(({ completion }) => completion!), ...plain.map(({ text }) => text!)].sort()).toEqual(
    TEXTS.map(({ text }) => text).sort(),
  );
  expect(plain.length).toBeGreaterThan(8);
  expect(plain.length).toBeLessThan(28);
  const ids = await rowsOf("metadata texts.jsonl --field url --written-as id --layout {v}");
  expect(ids.every(({ prompt }) => /^[0-9a-f]{8}$/.test(prompt!))).toBe(true);
  expect(new Set(ids.map(({ prompt }) => prompt)).size).toBe(60);
  const same = await rowsOf("metadata sums.jsonl --constant here --layout {v}:");
  expect(same[0]).toEqual({ prompt: "here:red one", completion: " 0", id: "0" });
});

test.each([
  ["metadata texts.jsonl", "metadata come from --field or from --constant"],
  ["metadata texts.jsonl --field nothing", "texts.jsonl:1: nothing should be a text"],
  ["metadata texts.jsonl --field url --layout x", "--layout x has no {v}"],
  ["metadata texts.jsonl --field text --written-as host", "document 0 is no address"],
  ["demos texts.jsonl", "texts.jsonl:1: prompt should be a string"],
])("refuses %s", async (line, message) => {
  const { code, err } = await runScript("data", line.split(" "), folder);
  expect([code, err.includes(message) || err]).toEqual([2, true]);
});
