import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { loadFacts } from "../../../src/run/tracing/facts.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-facts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const encode = { tokenizer: byteTokenizer(), vocabSize: 264 };
const load = (...rows: unknown[]) => {
  write("facts.jsonl", rows);
  return loadFacts({ name: "facts", path: join(folder, "facts.jsonl") }, encode);
};

test("every occurrence of the subject counts, and the whole prompt where none is named", async () => {
  const [named, whole] = await load(
    { prompt: "ann: ann is", completion: " 7", subject: "ann" },
    { prompt: "on", completion: "e" },
  );
  expect(named).toMatchObject({ subject: [0, 1, 2, 5, 6, 7], prompt: 11, index: 0 });
  expect(String.fromCharCode(...named!.answer.slice(0, 2).map((i) => named!.ids[i]!))).toBe(" 7");
  expect(whole).toMatchObject({ subject: [0, 1], prompt: 2, index: 1 });
});

test("a token that reaches over an end of the subject is one of its tokens", async () => {
  // Pairs of letters are tokens.
  const pairs = {
    ...encode.tokenizer,
    encode: (text: string) =>
      Int32Array.from({ length: Math.ceil(text.length / 2) }, (_, i) => {
        const pair = text.slice(2 * i, 2 * i + 2);
        return pair.charCodeAt(0) + (pair.length > 1 ? 256 * pair.charCodeAt(1) : 0);
      }),
  };
  write("pairs.jsonl", [{ prompt: "abcdefgh", completion: "ij", subject: "cde" }]);
  const [row] = await loadFacts({ name: "pairs", path: join(folder, "pairs.jsonl") }, { tokenizer: pairs });
  expect(row!.subject).toEqual([1]);
  write("pairs.jsonl", [{ prompt: "abcdefgh", completion: "ij", subject: "bc" }]);
  const [over] = await loadFacts({ name: "pairs", path: join(folder, "pairs.jsonl") }, { tokenizer: pairs });
  expect(over!.subject).toEqual([0]);
});

test.each([
  [{ text: "no prompt" }, "facts.jsonl:1: tracing follows a prompt to its answer, and the row has no prompt"],
  [{ input_ids: [1, 2], labels: [-100, -100] }, "and the row has no answer"],
  [{ prompt: "of bob", completion: "x", subject: "eve" }, 'facts.jsonl:1: the prompt does not name its subject "eve"'],
  [{ prompt: "of bob", completion: "x", subject: 3 }, "the prompt does not name its subject 3"],
  [{ input_ids: [1, 2], labels: [-100, 2], subject: "x" }, 'the prompt does not name its subject "x"'],
])("%j is refused", async (row, message) => {
  await expect(load(row)).rejects.toThrow(message);
});
