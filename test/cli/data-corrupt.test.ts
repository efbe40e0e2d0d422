/** `data corrupt` as a process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

let folder = "";
const corrupt = (line: string) => runScript("data", ["corrupt", ...line.split(" ")], folder);
const rowsOf = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-corrupt-"));
  const write = (name: string, rows: readonly object[]) =>
    writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  write(
    "images.jsonl",
    Array.from({ length: 3 }, (_, i) => ({ x: Array.from({ length: 16 }, (_, j) => Math.sin(i + j * j)), label: i })),
  );
  write("texts.jsonl", [{ text: "a big dog saw the cat", label: 1 }]);
  write("odd.jsonl", [{ x: [1, 2, 3], label: 0 }]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("labels stay, values lie in the range, and the same seed makes the same rows", async () => {
  const line = "images.jsonl --corruption gaussian-noise --severity 5 --range -1,1";
  const { code, text } = await corrupt(`${line} -q`);
  expect(code).toBe(0);
  const rows = rowsOf(text);
  expect(rows.map(({ label }) => label)).toEqual([0, 1, 2]);
  const all = rows.flatMap(({ x }) => x as number[]);
  expect([Math.min(...all) >= -1, Math.max(...all) <= 1, all.some((x) => x < 0)]).toEqual([true, true, true]);
  expect((await corrupt(`${line} -q`)).text).toBe(text);
  expect((await corrupt(`${line} --seed 1 -q`)).text).not.toBe(text);
  const told = JSON.parse((await corrupt(`${line} --json -o noisy.jsonl`)).text);
  expect(told).toMatchObject({ rows: 3, corruption: "gaussian-noise", severity: 5, amount: 0.38 });
  expect(readFileSync(join(folder, "noisy.jsonl"), "utf8")).toBe(text);
});

test("values that lie outside of the range are told of", async () => {
  const cut = await corrupt("images.jsonl --corruption brightness -o cut.jsonl");
  expect([cut.code, cut.err]).toEqual([
    0,
    expect.stringMatching(/\d+ values lay outside of --range 0,1, and were cut/),
  ]);
  const whole = await corrupt("images.jsonl --corruption brightness --range -1,1 -o whole.jsonl");
  expect(whole.err).not.toContain("outside of --range");
});

test("images are square unless --shape says so, and texts lose words", async () => {
  const square = await corrupt("images.jsonl --corruption pixelate --range -1,1 -q");
  const wide = await corrupt("images.jsonl --corruption pixelate --range -1,1 --shape 1,2,8 -q");
  expect([square.code, wide.code, square.text === wide.text]).toEqual([0, 0, false]);
  const { text } = await corrupt("texts.jsonl --corruption span-mask --severity 5 --mask _ -q");
  expect(
    rowsOf(text)[0]
      .text.split(" ")
      .filter((word: string) => word !== "_"),
  ).toHaveLength(3);
});

test.each([
  ["odd.jsonl --corruption blur", "odd.jsonl:1: 3 numbers are no image of 1 x 2 x 2"],
  ["images.jsonl --corruption blur --shape 1,4", "--shape 1,4 is no image"],
  ["images.jsonl --corruption blur --range 1,0", "--range 1,0 is no range"],
  ["texts.jsonl --corruption blur --field text", "blur is of lists of numbers"],
  ["images.jsonl --corruption word-dropout --field x", "word-dropout is of texts"],
  ["images.jsonl --corruption word-dropout", "the row has no text"],
  ["images.jsonl --corruption fog", "unknown corruption fog"],
  ["images.jsonl --corruption blur --severity 6", "--severity"],
  ["missing.jsonl --corruption blur", "missing.jsonl cannot be read"],
])("refused: %s", async (line, message) => {
  const { code, err } = await corrupt(`${line} -o x.jsonl`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  expect(existsSync(join(folder, "x.jsonl"))).toBe(false);
});
