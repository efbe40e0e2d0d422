/** Rows that are written are read as what they were. */
import { expect, test } from "bun:test";
import { parseRow } from "../../src/data/parse-row.ts";
import { writtenRow } from "../../src/data/written-row.ts";
import type { Json } from "../../src/json.ts";

const turn = (role: string, content: string) => ({ role, content });

test.each<[string, Json]>([
  ["completion", { prompt: "2+2=", completion: "4", answer: 4, level: [1, { a: null }] }],
  ["prompt", { prompt: "2+2=", answer: "4" }],
  ["text", { text: "abc" }],
  ["preference", { prompt: "q", chosen: "a", rejected: "b" }],
  ["messages", { messages: [turn("user", "q"), turn("assistant", "a")], tools: [] }],
  ["messages", { prompt: [turn("user", "q")], completion: [turn("assistant", "a")], answer: "a" }],
  [
    "messages",
    { prompt: [turn("user", "q"), { role: "assistant", content: null, tool_calls: [{ id: 1 }] }], answer: "a" },
  ],
  ["messages", { question: "q", answer: "a", id: 3 }],
  ["tokens", { input_ids: [1, 2, 3], answer: "a" }],
])("%s %j", (form, row) => {
  const read = parseRow(row, "rows.jsonl:1");
  expect(read.form).toBe(form as typeof read.form);
  const written = JSON.parse(JSON.stringify(writtenRow(read))) as Json;
  expect(parseRow(written, "rows.jsonl:1")).toEqual(read);
});
