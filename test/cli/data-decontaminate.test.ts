/** `data decontaminate` as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

let folder = "";
const at = (name: string) => join(folder, name);
const clean = (line: string) => runScript("data", ["decontaminate", ...line.split(" ")], folder);
const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

const question = (i: number) => `How many apples has person ${i} when ${i} baskets of ${i + 3} apples each are full?`;
const TRAIN = Array.from({ length: 10 }, (_, i) => ({
  prompt: `Tell a story about animal ${i} and its ${i} friends`,
  completion: "Once",
  id: i,
}));
const TEST = Array.from({ length: 4 }, (_, i) => ({ question: question(i), answer: "many" }));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-decontaminate-"));
  const planted = { prompt: `Please: ${question(2)} Thanks`, completion: "ten", id: 10 };
  writeFileSync(at("train.jsonl"), lines([...TRAIN.slice(0, 5), planted, ...TRAIN.slice(5)]));
  writeFileSync(at("test.jsonl"), lines(TEST));
  writeFileSync(at("other.jsonl"), lines([{ text: "a text on its own that nothing of the training rows repeats" }]));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the row that holds a test row is dropped, the others stay as they were written", async () => {
  const { code, err } = await clean("train.jsonl --against test.jsonl --against others=other.jsonl -o clean.jsonl");
  expect(code).toBe(0);
  expect(readFileSync(at("clean.jsonl"), "utf8")).toBe(lines(TRAIN));
  expect(err).toContain("1 of 4 rows of test, 0 of 1 rows of others matched; 1 of 11 rows dropped");
  expect(err).toContain("train.jsonl:6 holds 100 % of test.jsonl:3");
  const again = await clean("clean.jsonl --against test.jsonl -q");
  expect(again.text).toBe(lines(TRAIN));
});

test("--allowed keeps rows while few rows of a test set are matched", async () => {
  expect((await clean("train.jsonl --against test.jsonl --allowed 0.25 -q")).text.split("\n")).toHaveLength(12);
  expect((await clean("train.jsonl --against test.jsonl --allowed 0.2 -q")).text.split("\n")).toHaveLength(11);
});

test("--check writes nothing and ends with 1, --json names all matches", async () => {
  const { code, text } = await clean("train.jsonl --against test.jsonl --check --json -o checked.jsonl");
  expect(code).toBe(1);
  expect(existsSync(at("checked.jsonl"))).toBe(false);
  expect(JSON.parse(text)).toEqual({
    rows: 11,
    dropped: 1,
    tests: [{ name: "test", rows: 4, matched: 1, share: 0.25 }],
    matches: [{ place: "train.jsonl:6", of: "test.jsonl:3", covered: 1 }],
  });
  expect((await clean("train.jsonl --against other.jsonl --check")).code).toBe(0);
});

test("--part all compares answers, too", async () => {
  const answer = "the quick brown fox jumps over the lazy dog and runs";
  writeFileSync(at("asked.jsonl"), lines([{ prompt: "one", completion: answer }]));
  writeFileSync(at("held.jsonl"), lines([{ prompt: "two", completion: answer }]));
  expect((await clean("asked.jsonl --against held.jsonl --check -q")).code).toBe(0);
  expect((await clean("asked.jsonl --against held.jsonl --part all --check -q")).code).toBe(1);
});

test("what cannot be compared is refused", async () => {
  writeFileSync(at("ids.jsonl"), lines([{ input_ids: [1, 2] }]));
  const told = async (line: string) => {
    const { code, err } = await clean(line);
    return [code, err];
  };
  expect(await told("train.jsonl")).toEqual([2, expect.stringContaining("--against is missing")]);
  expect(await told("train.jsonl --against ids.jsonl")).toEqual([
    2,
    expect.stringContaining("ids.jsonl:1: a row of tokens has no text"),
  ]);
  expect(await told("train.jsonl --against test.jsonl -o test.jsonl")).toEqual([
    2,
    expect.stringContaining("test.jsonl is read by this run"),
  ]);
  expect(await told("- --against -")).toEqual([2, expect.stringContaining("both read stdin")]);
});
