/** Forms of rows, and what is said of those that have none. */
import { expect, test } from "bun:test";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { encodeRow } from "../../src/data/sequences.ts";

const refusals: [name: string, row: unknown, text: string][] = [
  ["no object", 3, "r:1: expected an object, found the number 3"],
  ["an unknown shape", { query: "a", reply: "b" }, "r:1: unknown row with the keys query, reply"],
  ["an image that lies", { image: [Array(9).fill(0), ...Array(9e5).fill(0)], label: 0 }, "has the number 0 beside it"],
  [
    "numbers beyond f32",
    { x: [1e39], label: 0 },
    "x should hold numbers within the range of f32, found the number 1e+39",
  ],
  ["a list among pixels", { image: [[1, [2]]], label: 0 }, "r:1: image should hold numbers, found an array beside"],
  ["an empty object", {}, "r:1: unknown row with no keys"],
  ["a prompt that is no text", { prompt: 5 }, "r:1: prompt should be a string, found the number 5"],
  ["two forms", { text: "a", input_ids: [1] }, "r:1: the row has text as well as input_ids"],
  ["text that is none", { text: 5 }, "r:1: text should be a string, found the number 5"],
  ["no messages", { messages: [] }, "r:1: messages should be a list of messages, found an empty array"],
  [
    "a message without content",
    { messages: [{ role: "user" }] },
    "r:1: content of message 1 should be a string, found nothing",
  ],
  ["half tokens", { input_ids: [1, 2.5] }, "found the number 2.5 at position 1"],
  [
    "negative tokens",
    { input_ids: [-1] },
    "r:1: input_ids should be a list of integers of at least 0, found the number -1 at position 0",
  ],
  ["tokens beyond 31 bits", { input_ids: [2 ** 31] }, "found the number 2147483648 at position 0"],
  ["too few labels", { input_ids: [1, 2], labels: [1] }, "r:1: 1 labels for 2 input_ids"],
  ["other negative labels", { input_ids: [1], labels: [-1] }, "r:1: label -1 at position 0 is not a token"],
  ["no tokens", { input_ids: [] }, "r:1: input_ids is empty"],
  ["a class by name", { x: [1], label: "cat" }, 'r:1: label should be a class (0, 1, ...), found the string "cat"'],
  [
    "a class by a name that a terminal would obey",
    { x: [1], label: 'a"\u001b[2J' },
    'r:1: label should be a class (0, 1, ...), found the string "a\\"\\u001b[2J"',
  ],
  ["a matrix for x", { x: [[1]], label: 0 }, "r:1: x should be a list of numbers, found a list of shape (1, 1)"],
  [
    "a flat image",
    { image: [1], label: 0 },
    "r:1: image should be rows of pixels, or rows of pixels of channels, found a list of shape (1)",
  ],
  [
    "a ragged image",
    { image: [[1, 2], [3]], label: 0 },
    "r:1: image begins with a list of 2 values, but has one of 1 beside it",
  ],
  ["text among pixels", { image: [[1, "a"]], label: 0 }, "r:1: image should hold numbers, found the string"],
];
for (const [name, row, text] of refusals) {
  test(`refuses ${name}`, () => expect(() => parseRow(row as never, "r:1")).toThrow(text));
}

test("a prompt alone can be asked, and its completion is refused", () => {
  const row = parseRow({ prompt: "a", choices: ["b"] }, "r:1");
  expect(row).toEqual({ form: "prompt", prompt: "a", extra: { choices: ["b"] } });
  expect(parseRow({ prompt: "a", text: "b" }, "r:1")).toEqual({ form: "text", text: "b", extra: { prompt: "a" } });
  const refusal = "r:1: the row has a prompt and no completion, which is what is learned or scored";
  expect(() => [...encodeRow({ row, place: "r:1" }, { tokenizer: byteTokenizer() })]).toThrow(refusal);
});

test("reads every form and keeps other keys", () => {
  expect(parseRow({ text: "a", id: 7 }, "r:1")).toEqual({ form: "text", text: "a", extra: { id: 7 } });
  expect(parseRow({ prompt: "a", completion: "b", label: true }, "r:1")).toEqual({
    form: "completion",
    prompt: "a",
    completion: "b",
    extra: { label: true },
  });
  const messages = [{ role: "user", content: "hi" }];
  expect(parseRow({ messages }, "r:1")).toEqual({ form: "messages", messages, extra: {} });
  expect(parseRow({ input_ids: [1, 2], labels: [-100, 2] }, "r:1")).toEqual({
    form: "tokens",
    inputIds: Int32Array.of(1, 2),
    labels: Int32Array.of(-100, 2),
    extra: {},
  });
  expect(parseRow({ x: [0.5, 2], label: 3 }, "r:1")).toEqual({
    form: "example",
    x: Float32Array.of(0.5, 2),
    shape: [2],
    label: 3,
    extra: {},
  });
  const image = [
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ], // one row of three pixels of two channels
  ];
  expect(parseRow({ image, label: 0 }, "r:1")).toMatchObject({
    x: Float32Array.of(1, 3, 5, 2, 4, 6), // channel by channel, as models take it
    shape: [2, 1, 3],
  });
  expect(parseRow({ image: [[7, 8]], label: 0 }, "r:1")).toMatchObject({ shape: [1, 1, 2] });
});

test("a key named __proto__ stays a key", () => {
  const row = parseRow(JSON.parse('{"text": "a", "__proto__": {"form": "x"}}'), "r:1");
  expect(Object.keys(row.extra)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(row.extra)).toBe(Object.prototype);
});
