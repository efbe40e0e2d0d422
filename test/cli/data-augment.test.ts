/** `data augment` as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

let folder = "";
const augment = (line: string) => runScript("data", ["augment", ...line.split(" ")], folder);
const ROWS = Array.from({ length: 8 }, (_, i) => ({ text: `a big dog saw the cat number ${i}`, label: i % 2 }));
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-augment-"));
  writeFileSync(join(folder, "rows.jsonl"), jsonl(ROWS));
  writeFileSync(join(folder, "words.json"), JSON.stringify({ big: ["large"], dog: ["hound"] }));
  writeFileSync(join(folder, "bad.json"), JSON.stringify({ big: "large" }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("at rate 0, and with no copies, the rows are left alone", async () => {
  for (const line of ["rows.jsonl --rate 0 -q", "rows.jsonl --copies 0 -q"]) {
    const { code, text } = await augment(line);
    expect([code, text]).toEqual([0, jsonl(ROWS)]);
  }
});

test("each row comes first, then its copies with its label; the same seed makes the same rows", async () => {
  const line = "rows.jsonl --rate 0.3 --copies 3 --synonyms words.json";
  const { code, text } = await augment(`${line} -q`);
  expect(code).toBe(0);
  const rows = text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row));
  let last = -1;
  for (const { text: words, label } of rows) {
    const own = ROWS.findIndex((row) => row.text === words);
    if (own >= 0) last = own;
    expect(label).toBe(ROWS[last]!.label);
  }
  expect(last).toBe(7);
  expect((await augment(`${line} -q`)).text).toBe(text);
  expect((await augment(`${line} --seed 1 -q`)).text).not.toBe(text);
  const told = JSON.parse((await augment(`${line} --json -o more.jsonl -q`)).text);
  expect(readFileSync(join(folder, "more.jsonl"), "utf8")).toBe(text);
  expect(told).toMatchObject({ rows: 8, copies: rows.length - 8, unchanged: 32 - rows.length });
});

test("without synonyms no new word comes in, and --operation says what is done", async () => {
  const words = new Set(ROWS.flatMap(({ text }) => text.split(" ")));
  const { text } = await augment("rows.jsonl --rate 0.5 --copies 4 -q");
  const all = text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row).text.split(" "));
  expect(all.flat().every((word: string) => words.has(word))).toBe(true);
  const swapped = await augment("rows.jsonl --rate 0.5 --operation swap -q");
  for (const row of swapped.text.trimEnd().split("\n")) expect(JSON.parse(row).text.split(" ").length).toBe(8);
});

test.each([
  ["none.jsonl", "none.jsonl cannot be read", ""],
  ["rows.jsonl --field prompt", "rows.jsonl:1: prompt should be a text", "--field names"],
  ["rows.jsonl --operation insert", "--operation insert needs --synonyms", "swap and delete"],
  ["rows.jsonl --synonyms bad.json", "big should have a list of words", '{"big": ["large"]}'],
  ["rows.jsonl --synonyms no.json", "--synonyms no.json cannot be read", ""],
])("refused: %s", async (line, problem, hint) => {
  const { code, err } = await augment(`${line} -o refused.jsonl`);
  expect([code, existsSync(join(folder, "refused.jsonl"))]).toEqual([2, false]);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});

test("switch puts translations of whole phrases in, up to its ratio, and sentences of a row's own translation", async () => {
  const words = { "big dog": ["großer Hund"], saw: ["sah"], "the cat": ["die Katze"] };
  writeFileSync(join(folder, "phrases.json"), JSON.stringify(words));
  const line = "rows.jsonl --operation switch --translations phrases.json --copies 1 -q";
  const rowsOf = (text: string): string[] =>
    text
      .trimEnd()
      .split("\n")
      .map((row) => JSON.parse(row).text);
  const whole = rowsOf((await augment(`${line} --switch-ratio 1`)).text);
  expect(whole[1]).toBe("a großer Hund sah die Katze number 0");
  // A quarter of eight words: one phrase of two words, or one word alone.
  const some = rowsOf((await augment(`${line} --switch-ratio 0.25`)).text).filter((_, i) => i % 2 === 1);
  const wanted = ["a großer Hund saw the cat", "a big dog saw die Katze", "a big dog sah the cat"];
  for (const text of some) expect(wanted).toContain(text.replace(/ number \d/, ""));
  expect(new Set(some.map((text) => text.slice(0, 16))).size).toBeGreaterThan(1);
  expect((await augment(`${line} --switch-ratio 0`)).text).toBe(jsonl(ROWS));
  writeFileSync(join(folder, "pairs.jsonl"), jsonl([{ text: "One. Two! Three?", de: "Eins. Zwei! Drei?" }]));
  const pairs = "pairs.jsonl --operation switch --translation-field de --copies 8 --switch-ratio 0.34 -q";
  for (const text of rowsOf((await augment(pairs)).text).slice(1))
    expect(["Eins. Two! Three?", "One. Zwei! Three?", "One. Two! Drei?"]).toContain(text);
});

test.each([
  ["rows.jsonl --operation switch", "--operation switch needs --translations or --translation-field"],
  ["rows.jsonl --translations words.json --translation-field de", "are two ways to switch"],
  ["rows.jsonl --operation switch --translation-field de", "rows.jsonl:1: de should be a text"],
])("refused: %s", async (line, problem) => {
  const { code, err } = await augment(`${line} -o refused.jsonl`);
  expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
});
