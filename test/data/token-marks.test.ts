/** Marks of tokens: of ids one by one, of text by characters, and what is refused. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../src/data/dataset.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { encodeRow } from "../../src/data/sequences.ts";
import type { Json } from "../../src/json.ts";

const tokenizer = byteTokenizer();
const marksOf = (value: Json, options = {}) =>
  encodeRow({ row: parseRow(value, "rows:1"), place: "rows:1" }, { tokenizer, ...options }).map(({ marks }) =>
    marks === undefined ? undefined : [...marks],
  );

test("ids have a mark each; a row without marks has none; cut and split rows keep their part", () => {
  const row = { input_ids: [5, 6, 7, 8], token_marks: [0, 1, 2, 0] };
  expect(marksOf(row)).toEqual([[0, 1, 2, 0]]);
  expect(marksOf({ input_ids: [5, 6] })).toEqual([undefined]);
  expect(marksOf(row, { maxLength: 3 })).toEqual([[0, 1, 2]]);
  expect(marksOf(row, { maxLength: 3, overflow: "split" })).toEqual([[0, 1, 2], [0]]);
});

test("text is marked by characters, prompt and completion together; what is put around it has none", () => {
  const [text] = marksOf({ text: "abcd", token_marks: [[1, 3, 2]] });
  expect(text!.slice(0, 4)).toEqual([0, 2, 2, 0]);
  expect(text!.slice(4).every((mark) => mark === 0)).toBe(true);
  const given = {
    prompt: "ab",
    completion: "cd",
    token_marks: [
      [3, 4, 3],
      [0, 2, 1],
    ],
  };
  expect(marksOf(given)[0]!.slice(0, 4)).toEqual([1, 1, 0, 3]);
  // A character of two bytes has two tokens of its mark.
  expect(marksOf({ text: "aé", token_marks: [[1, 2, 1]] })[0]!.slice(0, 3)).toEqual([0, 1, 1]);
});

test("what cannot be marked is refused with its place", () => {
  expect(() => marksOf({ input_ids: [5, 6], token_marks: [1] })).toThrow("rows:1: token_marks of input_ids");
  expect(() => marksOf({ input_ids: [5, 6], token_marks: [1, -1] })).toThrow("list of 2 whole numbers");
  expect(() => marksOf({ text: "ab", token_marks: [[1, 1, 2]] })).toThrow("a list of [from, to, mark]");
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
  ];
  expect(() => marksOf({ messages, token_marks: [[0, 1, 1]] })).toThrow("are for rows of text");
});

test("rows with marks are read each time, where others' tokens are kept between runs", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-marks-"));
  const path = join(folder, "rows.jsonl");
  writeFileSync(path, '{"input_ids": [1, 2], "token_marks": [0, 3]}\n{"input_ids": [1, 2]}\n');
  const cache = { files: [], settings: {}, folder: join(folder, "cache"), leastBytes: 0 };
  for (let i = 0; i < 2; i++) {
    const { sequences } = await loadSequences([{ name: "rows", path }], { cache });
    expect(sequences.map(({ marks }) => marks && [...marks])).toEqual([[0, 3], undefined]);
  }
  rmSync(folder, { recursive: true });
});
