/** `data numeric` and `data strings` from the shell. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(60_000); // the machine may be busy

let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-numeric-"));
});
afterAll(() => rmSync(cwd, { recursive: true }));

const data = (line: string) => runScript("data", line.split(" "), cwd);
const rowsOf = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split("\n")
    .map((row) => JSON.parse(row));

test("strings have the mean worth of their letters, which both splits share", async () => {
  const { worths } = JSON.parse((await data("strings --size 2 --json --seed 3")).text) as {
    worths: Record<string, number>;
  };
  expect(Object.values(worths).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 8 }, (_, i) => expect.closeTo(-5 + (10 * i) / 7, 12)),
  );
  for (const split of ["train", "test"])
    for (const { text, value } of rowsOf((await data(`strings --size 20 --seed 3 --split ${split}`)).text)) {
      const letters = [...String(text)].map((letter) => worths[letter]!);
      expect(Math.abs(letters.reduce((a, b) => a + b, 0) / letters.length - Number(value))).toBeLessThanOrEqual(0.0501);
    }
  const { code, err } = await data("strings --shortest 9");
  expect([code, err]).toEqual([2, expect.stringContaining("--longest 8 is below --shortest 9")]);
});

test("a row asks for the number of its text, or for a text of its number", async () => {
  writeFileSync(join(cwd, "rows.jsonl"), '{"text":"abc","value":-1.25}\n{"text":"d","value":3}\n');
  const asked = await data("numeric rows.jsonl --digits 1.1");
  expect(rowsOf(asked.text)).toEqual([
    { prompt: "abc|<value>", completion: "_-__1_0__3_-1_", value: -1.25 },
    { prompt: "d|<value>", completion: "_3_0__0_-1_", value: 3 },
  ]);
  expect(asked.err).toContain("1 of 2 numbers have more than 1 decimals: they are rounded");
  const texts = await data("numeric rows.jsonl --digits 1.2 --ask text --tag logp=");
  expect(rowsOf(texts.text)[0]).toEqual({ prompt: "logp=_-__1_0__2_-1__5_-2_|", completion: "abc", value: -1.25 });
  expect(texts.err).not.toContain("rounded");
});

test("rows without a number, or with one too large, are named", async () => {
  writeFileSync(join(cwd, "odd.jsonl"), '{"text":"a","value":1}\n{"text":"b","value":"2"}\n');
  expect((await data("numeric odd.jsonl")).err).toContain("odd.jsonl:2: value should be a number, found the string");
  writeFileSync(join(cwd, "large.jsonl"), '{"text":"a","value":12}\n');
  expect((await data("numeric large.jsonl --digits 1.1")).err).toContain(
    "large.jsonl:1: 12 does not fit into 1 digits",
  );
  writeFileSync(join(cwd, "bare.jsonl"), '{"value":1}\n');
  expect((await data("numeric bare.jsonl")).err).toContain(
    "text should be a string, found nothing\n  hint: name another key with --of",
  );
  writeFileSync(join(cwd, "none.jsonl"), "");
  expect((await data("numeric none.jsonl")).code).toBe(2);
});
