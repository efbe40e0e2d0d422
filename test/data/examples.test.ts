/** Rows of text for classifiers: labels by number and name, pairs, tokens, lengths, and what is refused of them. */
import { describe, expect, test } from "bun:test";
import { batchKey, largestExample, stackExamples } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { type ExampleReader, loadExamples, type TextReader } from "../../src/data/examples.ts";
import { rejection, temporaryFiles } from "./support.ts";

const write = temporaryFiles();
const TEXT: TextReader = {
  ...{ tokenizer: byteTokenizer(), vocabulary: 259, types: 2, labels: { bad: 0, good: 1 } },
  ...{ maxLength: 8, refuses: false },
};
const READER: ExampleReader = { classes: 2, text: TEXT };

const load = (rows: readonly unknown[], more: Partial<TextReader> = {}, columns?: ReadonlyMap<string, string>) => {
  const path = write("rows.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const reader = { ...READER, text: { ...TEXT, ...more } };
  return loadExamples([{ name: "g", path, ...(columns ? { columns } : {}) }], reader);
};
const tokensOf = async (row: unknown, more: Partial<TextReader> = {}) => {
  const [example] = await load([row], more);
  if (!example || !("tokens" in example)) throw new Error("no text");
  return { ids: [...example.tokens.ids], types: [...example.tokens.types] };
};
const bytes = (text: string) => [...new TextEncoder().encode(text)];

test("a label is a class or its name", async () => {
  const rows = [
    { text: "a", label: 1 },
    { text: "b", label: "bad" },
    { text: "c", label: "good", note: 3 },
  ];
  expect((await load(rows)).map(({ label, place }) => [label, place.split(":").at(-1)])).toEqual([
    [1, "1"],
    [0, "2"],
    [1, "3"],
  ]);
});

test("cells of a table are texts, and labels by number or name", async () => {
  const path = write("rows.csv", "text,label,text_pair\nfine,1,so so\npoor,bad,\n");
  const found = await loadExamples([{ name: "g", path }], { ...READER, text: { ...TEXT, maxLength: 20 } });
  expect(found.map(({ label }) => label)).toEqual([1, 0]);
  const lengths = found.map((example) => ("tokens" in example ? example.tokens.ids.length : 0));
  expect(lengths).toEqual([9, 4]);
});

test("other columns are named", async () => {
  const rows = [{ sentence1: "ab", sentence2: "c", gold: "good" }];
  const columns = new Map([
    ["text", "sentence1"],
    ["text_pair", "sentence2"],
    ["label", "gold"],
  ]);
  const [example] = await load(rows, {}, columns);
  expect(example).toMatchObject({
    label: 1,
    tokens: { ids: Int32Array.from(bytes("abc")), types: Int32Array.of(0, 0, 1) },
  });
});

test("tokens come as they are, without padding and with their types", async () => {
  const row = {
    ...{ input_ids: [0, 5, 6, 7, 0], token_type_ids: [0, 0, 1, 1, 0], attention_mask: [0, 1, 1, 1, 0], label: 0 },
  };
  expect(await tokensOf(row)).toEqual({ ids: [5, 6, 7], types: [0, 1, 1] });
  expect(await tokensOf({ input_ids: [5, 6], label: 0 })).toEqual({ ids: [5, 6], types: [0, 0] });
});

test("long rows are cut, of a pair the longer text first, and the caller hears of it", async () => {
  const told: [string, number][] = [];
  const cut = (place: string, tokens: number) => told.push([place.split(":").at(-1)!, tokens]);
  expect((await tokensOf({ text: "abcdefghij", label: 0 }, { cut })).ids).toEqual(bytes("abcdefgh"));
  const pair = await tokensOf({ text: "abcdefghij", text_pair: "xyz", label: 0 }, { cut });
  expect(pair).toEqual({ ids: bytes("abcdexyz"), types: [0, 0, 0, 0, 0, 1, 1, 1] });
  expect((await tokensOf({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8, 9], label: 0 }, { cut })).ids.length).toBe(8);
  expect(told).toEqual([
    ["1", 10],
    ["1", 13],
    ["1", 9],
  ]);
});

describe("refused, with the row's place", () => {
  test.each([
    [{ text: "a" }, {}, "label should be a class (0 to 1) or its name, found nothing"],
    [{ text: "a", label: "fine" }, {}, "label should be a class (0 to 1) or its name, found the string"],
    [{ text: "a", label: 2 }, {}, "label 2, but the model has 2 classes"],
    [{ text: "a", label: 0.5 }, {}, "found the number 0.5"],
    [{ text: "a", label: -1 }, {}, "found the number -1"],
    [{ text: "a", label: true }, {}, "found the boolean true"],
    [{ text: "a", text_pair: 3, label: 0 }, {}, "text_pair should be a string, found the number 3"],
    [{ text: "", label: 0 }, {}, "the row has no tokens"],
    [{ prompt: "a", completion: "b", label: 0 }, {}, "expected text and label, found a row of completion"],
    [{ x: [1], label: 0 }, {}, "expected text and label, found a row of example"],
    [{ text: "a", label: 0 }, { tokenizer: undefined }, "the row is text, but there is no tokenizer"],
    [{ text: "abcdefghij", label: 0 }, { refuses: true }, "the row has 10 tokens, more than 8"],
    [{ input_ids: [300], label: 0 }, {}, "token 300 is outside the model's vocabulary of 259"],
    [{ input_ids: [3], token_type_ids: [2], label: 0 }, {}, "a token is of type 2, and the model tells 2 apart"],
    [{ input_ids: [3], token_type_ids: [1, 1], label: 0 }, {}, "token_type_ids has 2 values for 1 input_ids"],
  ] as const)("%j", async (row, more, message) => {
    const error = await rejection(load([{ text: "fine", label: 0 }, row], more));
    expect(error.message).toContain("tokenizer" in more ? "rows.jsonl:1: " : "rows.jsonl:2: ");
    expect(error.message).toContain(message);
  });

  test("a model that tells no types apart takes any", async () => {
    expect((await tokensOf({ input_ids: [3, 4], token_type_ids: [0, 7], label: 0 }, { types: 0 })).ids).toEqual([3, 4]);
  });
});

test("texts of a batch are padded to a length that batches share", async () => {
  const examples = await load([
    { text: "abc", text_pair: "de", label: 1 },
    { text: "f", label: 0 },
  ]);
  const batch = stackExamples(examples);
  if (!("tokens" in batch)) throw new Error("no texts");
  const { ids, segments, types, shares } = batch.tokens;
  const row = (values: ArrayLike<number>, i: number) => Array.from(values).slice(16 * i, 16 * (i + 1));
  expect([batch.rows, batch.length, batch.width, batch.counted, batchKey(batch)]).toEqual([2, 1, 16, 2, "2 of 16"]);
  expect(row(ids, 0)).toEqual([...bytes("abcde"), ...new Array(11).fill(0)]);
  expect(row(types, 0)).toEqual([0, 0, 0, 1, 1, ...new Array(11).fill(0)]);
  expect(row(segments, 0)).toEqual([1, 1, 1, 1, 1, ...new Array(11).fill(0)]);
  expect(row(segments, 1)).toEqual([1, ...new Array(15).fill(0)]);
  expect(row(shares, 0)).toEqual([...new Array(5).fill(Math.fround(1 / 5)), ...new Array(11).fill(0)]);
  expect([...batch.labels]).toEqual([1, 0]);
  expect(largestExample(examples.toReversed())).toBe(examples[0]!);
  const number = { x: Float32Array.of(1), shape: [1], label: 0 };
  expect(() => stackExamples([...examples, number])).toThrow("2 of 3 examples are texts");
});
