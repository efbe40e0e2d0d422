/** Groups of data by name, their counts, and whole paths from a file to batches. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { collate } from "../../src/data/batch.ts";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { inBatches, loadSequences } from "../../src/data/dataset.ts";
import { loadExamples } from "../../src/data/examples.ts";
import { GroupOrder, parseGroups } from "../../src/data/groups.ts";
import { BatchOrder } from "../../src/data/order.ts";
import { readRows } from "../../src/data/read-rows.ts";
import { encodeRows } from "../../src/data/sequences.ts";
import { rejection, temporaryFiles } from "./support.ts";

const write = temporaryFiles();
const jsonl = (...rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const tokenizer = byteTokenizer();

test("groups are named, or take the name of their file", () => {
  expect(parseGroups(["math=a/b.jsonl", "dir/books.jsonl", "./a=b.jsonl", "-"])).toEqual([
    { name: "math", path: "a/b.jsonl" },
    { name: "books", path: "dir/books.jsonl" },
    { name: "a=b", path: "./a=b.jsonl" },
    { name: "stdin", path: "-" },
  ]);
  expect(() => parseGroups(["a/x.jsonl", "b/x.jsonl"])).toThrow("two groups of data are named x");
  expect(() => parseGroups(["x.jsonl", "./x.jsonl"])).toThrow("--data ./x.jsonl is given twice");
  expect(() => parseGroups(["-", "-"])).toThrow("two groups of data are read from stdin");
  expect(() => parseGroups(["a=-", "b=-"])).toThrow("two groups of data are read from stdin");
  expect(() => parseGroups(["=x"])).toThrow("--data =x: expected name=path or a path");
  expect(() => parseGroups(["x="])).toThrow("--data x=: expected name=path or a path");
});

test("a group gives all its rows before it repeats one, as a function of how many it gave", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.nat(100), fc.boolean(), (count, seed, shuffle) => {
      const order = new GroupOrder("g", count, seed, shuffle);
      const drawn = Array.from({ length: 3 * count }, (_, i) => order.at(i));
      for (const epoch of [0, 1, 2]) expect(new Set(drawn.slice(epoch * count, (epoch + 1) * count)).size).toBe(count);
      const again = new GroupOrder("g", count, seed, shuffle);
      for (let i = 3 * count - 1; i >= 0; i--) expect(again.at(i)).toBe(drawn[i]!);
    }),
    { numRuns: 50 },
  );
});

test("counts rows, sequences and tokens per group", async () => {
  const a = write("a.jsonl", jsonl({ text: "abcde" }, { prompt: "12", completion: "3" }));
  const b = write("b.jsonl", jsonl({ input_ids: [1, 2, 3], labels: [-100, -100, 3] }));
  const { sequences, groups } = await loadSequences(parseGroups([`x=${a}`, b]), {
    tokenizer,
    maxLength: 4,
    overflow: "split",
  });
  expect(groups).toEqual([
    { name: "x", rows: 2, sequences: 3, tokens: 10, counted: 6, lengths: Int32Array.of(4, 2, 4) },
    { name: "b", rows: 1, sequences: 1, tokens: 3, counted: 1, lengths: Int32Array.of(3) },
  ]);
  expect(sequences.map(({ group, place }) => [group, place])).toEqual([
    [0, `${a}:1`],
    [0, `${a}:1`],
    [0, `${a}:2`],
    [1, `${b}:1`],
  ]);
});

test("a group of which the loss counts nothing is refused", async () => {
  const file = write("silent.jsonl", jsonl({ prompt: "long prompt", completion: "x" }));
  const error = await rejection(loadSequences([{ name: "g", path: file }], { tokenizer, maxLength: 4 }));
  expect(error.message).toBe("the group g has 4 tokens, and the loss would count none of them");
});

test("examples of one shape are read, others refused", async () => {
  const file = write("x.jsonl", jsonl({ x: [1, 2], label: 0 }, { x: [3, 4], label: 1, note: "n" }));
  const examples = await loadExamples([{ name: "x", path: file }], { classes: 2 });
  expect(examples.map(({ label, place }) => [label, place])).toEqual([
    [0, `${file}:1`],
    [1, `${file}:2`],
  ]);
  write("x.jsonl", jsonl({ x: [1, 2], label: 0 }, { x: [3], label: 1 }));
  expect((await rejection(loadExamples([{ name: "x", path: file }], { classes: 2 }))).message).toBe(
    `${file}:2: the example is (1), the first one is (2)`,
  );
  write("x.jsonl", jsonl({ text: "a" }));
  expect((await rejection(loadExamples([{ name: "x", path: file }], { classes: 2 }))).message).toBe(
    `${file}:1: expected x and label or image and label, found a row of text`,
  );
});

test("a stream in batches is what an unshuffled order gives of the loaded file", async () => {
  const rows = Array.from({ length: 11 }, (_, i) => ({ text: "x".repeat(i + 1) }));
  const file = write("rows.jsonl", jsonl(...rows));
  for (const dropLast of [false, true]) {
    const { sequences, groups } = await loadSequences([{ name: "g", path: file }], { tokenizer });
    const order = new BatchOrder({ groups, batchSize: 4, shuffle: false, dropLast });
    const loaded = Array.from({ length: order.batchesPerEpoch }, () =>
      collate(order.next().bins.map((bin) => bin.map((i) => sequences[i]!))),
    );
    const streamed = [];
    for await (const batch of inBatches(encodeRows(readRows(file), { tokenizer }), 4, dropLast)) {
      streamed.push(collate(batch.map((sequence) => [sequence])));
    }
    expect(streamed).toEqual(loaded);
    expect(streamed.map(({ rows }) => rows)).toEqual(dropLast ? [4, 4] : [4, 4, 3]);
  }
});
