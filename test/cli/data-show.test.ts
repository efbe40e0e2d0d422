/** `data show` as a process: rows as a model reads them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { run } from "./fixtures/run.ts";

const DATA = join(import.meta.dir, "../../scripts/data.ts");

setDefaultTimeout(120_000);

let folder: string;
let rows: string;
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ingot-show-"));
  rows = join(folder, "rows.jsonl");
  const messages = ["user", "assistant", "user", "assistant"].map((role, i) => ({ role, content: `t${i}` }));
  const lines = [{ messages }, { text: "ab" }, { prompt: "a", completion: "b" }];
  fs.writeFileSync(rows, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  fs.mkdirSync(join(folder, "tokenizer"));
  for (const [name, bytes] of byteTokenizer().files) fs.writeFileSync(join(folder, "tokenizer", name), bytes);
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const show = (...argv: string[]) => run(["show", rows, "--tokenizer", join(folder, "tokenizer"), ...argv], {}, DATA);

test("what counts is in brackets, of as many rows as are asked for", async () => {
  const { code, out, err } = await show();
  expect([code, err]).toEqual([0, "data: 3 rows, 52 tokens, 10 count\n"]);
  expect(out).toBe(
    `${rows}:1: 46 tokens, 6 count\n` +
      "user: t0<eos>assistant: ⟦t1<eos>⟧user: t2<eos>assistant: ⟦t3<eos>⟧\n" +
      `${rows}:2: 3 tokens, 2 count\na⟦b<eos>⟧\n` +
      `${rows}:3: 3 tokens, 2 count\na⟦b<eos>⟧\n`,
  );
  const last = await show("--rows", "1", "--turns", "last", "-q");
  expect(last.out).toEndWith("assistant: t1<eos>user: t2<eos>assistant: ⟦t3<eos>⟧\n");
});

test("--json gives the parts of every sequence with their tokens", async () => {
  const { out } = await show("--json", "-q", "--rows", "1", "--turns", "each");
  const found = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(found.map(({ place, counted }) => [place, counted])).toEqual([
    [`${rows}:1`, 3],
    [`${rows}:1`, 3],
  ]);
  expect(found[1].parts.at(-1)).toEqual({ counts: true, ids: [116, 51, 258], text: "t3<eos>" });
});

test("says what is missing", async () => {
  const bare = await run(["show", rows], {}, DATA);
  expect([bare.code, bare.err.split("\n")[0]]).toEqual([
    2,
    `data: ${rows}:1: the row is text, but there is no tokenizer`,
  ]);
});
