/** `data dedupe` as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

let folder = "";
const at = (name: string) => join(folder, name);
const dedupe = (line: string) => runScript("data", ["dedupe", ...line.split(" ")], folder);
const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Texts of 60 words that share no 5-gram. */
const words = (seed: number) => Array.from({ length: 60 }, (_, i) => `w${seed}x${(i * 7) % 60}`);
const row = (text: readonly string[], id: string) => ({ text: text.join(" "), id });
const [first, second, third] = [words(1), words(2), words(3)];
const ROWS = [
  row(first, "first"),
  row(second, "second"),
  row(first, "again"),
  { text: first.join("  ").toUpperCase(), id: "loud" },
  row([...second.slice(0, 58), "other", "words"], "near"),
  row([...third.slice(0, 30), ...second.slice(30)], "half"),
];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-dedupe-"));
  writeFileSync(at("rows.jsonl"), lines(ROWS));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("of rows that are alike the first stays, as it was written", async () => {
  const { code, err } = await dedupe("rows.jsonl -o once.jsonl");
  expect(code).toBe(0);
  expect(readFileSync(at("once.jsonl"), "utf8")).toBe(lines([ROWS[0]!, ROWS[1]!, ROWS[5]!]));
  expect(err).toContain("3 of 6 rows repeat earlier ones: 2 word for word, 1 nearly");
  expect(err).toContain("rows.jsonl:3 repeats rows.jsonl:1");
  expect(err).toMatch(/rows\.jsonl:5 is like \(0\.9\d\) rows\.jsonl:2/);
  expect((await dedupe("once.jsonl --check")).code).toBe(0);
});

test("--by exact keeps what is only alike; --similarity says what is", async () => {
  const exact = await dedupe("rows.jsonl --by exact -q");
  expect(exact.text).toBe(lines(ROWS.filter(({ id }) => id !== "again" && id !== "loud")));
  // Half of the 5-grams of "half" are those of "second": an index of a third.
  const loose = await dedupe("rows.jsonl --similarity 0.25 -q");
  expect(loose.text).toBe(lines(ROWS.slice(0, 2)));
});

test("rows of --against count as seen; --check writes nothing and ends with 1; --json names all", async () => {
  writeFileSync(at("seen.jsonl"), lines([row(first, "old")]));
  const { code, text } = await dedupe("rows.jsonl --against seen.jsonl --check --json -o checked.jsonl");
  expect(code).toBe(1);
  expect(existsSync(at("checked.jsonl"))).toBe(false);
  const found = JSON.parse(text);
  expect(found).toMatchObject({ rows: 6, dropped: 4, exact: 3, near: 1 });
  expect(found.repeats[0]).toEqual({ place: "rows.jsonl:1", by: "exact", of: "seen.jsonl:1", index: 1 });
});

test("what has no text is refused, and so is a file that is read and written", async () => {
  writeFileSync(at("ids.jsonl"), lines([{ input_ids: [1, 2] }]));
  expect((await dedupe("ids.jsonl")).err).toContain("ids.jsonl:1: a row of tokens has no text");
  expect((await dedupe("rows.jsonl --against seen.jsonl -o seen.jsonl")).err).toContain(
    "seen.jsonl is read by this run",
  );
  expect((await dedupe("rows.jsonl -o rows.jsonl")).code).toBe(2);
});
