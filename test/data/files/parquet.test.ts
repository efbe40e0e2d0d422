import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";
import { readRows } from "../../../src/data/read-rows.ts";
import type { LocatedRow } from "../../../src/data/rows.ts";
import { HANG_MS } from "../../support/hang.ts";
import { rejection } from "../support.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-parquet-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, columnData: ColumnSource[], rowGroupSize?: number): string {
  const file = join(folder, name);
  writeFileSync(file, new Uint8Array(parquetWriteBuffer({ columnData, ...(rowGroupSize ? { rowGroupSize } : {}) })));
  return file;
}

async function rowsOf(file: string): Promise<LocatedRow[]> {
  const rows: LocatedRow[] = [];
  for await (const row of readRows(file)) rows.push(row);
  return rows;
}

test("texts, over several row groups, with other columns kept", async () => {
  const file = write(
    "text.parquet",
    [
      { name: "text", data: ["a", "b", "ü"], type: "STRING" },
      { name: "n", data: [1, 2, 3], type: "INT32" },
    ],
    2,
  );
  const rows = await rowsOf(file);
  expect(rows.map(({ row }) => row.form === "text" && row.text)).toEqual(["a", "b", "ü"]);
  expect(rows[2]).toMatchObject({ place: `${file}: row 3`, row: { extra: { n: 3 } } });
});

test("prompt and completion", async () => {
  const file = write("pairs.parquet", [
    { name: "prompt", data: ["1+1="], type: "STRING" },
    { name: "completion", data: ["2"], type: "STRING" },
  ]);
  expect((await rowsOf(file))[0]!.row).toMatchObject({ form: "completion", prompt: "1+1=", completion: "2" });
});

test("lists of 64-bit token ids become numbers, messages come as structs", async () => {
  const ids = write("ids.parquet", [{ name: "input_ids", data: [[1, 2, 3], [4]], type: "JSON" }]);
  expect((await rowsOf(ids)).map(({ row }) => row.form === "tokens" && [...row.inputIds])).toEqual([[1, 2, 3], [4]]);
  const messages = [
    [
      { role: "user", content: "hi" },
      { role: "assistant", content: "yes" },
    ],
  ];
  const chat = write("chat.parquet", [{ name: "messages", data: messages, type: "JSON" }]);
  expect((await rowsOf(chat))[0]!.row).toMatchObject({ form: "messages", messages: messages[0] });
});

test("64-bit numbers that no number holds come as texts, to the last digit", async () => {
  const file = write("hashes.parquet", [
    { name: "text", data: ["a", "b"], type: "STRING" },
    { name: "id", data: [7n, 9007199254740993n], type: "INT64" },
  ]);
  expect((await rowsOf(file)).map(({ row }) => row.extra.id)).toEqual([7, "9007199254740993"]);
});

test("a row of another form is named with its place", async () => {
  const file = write("other.parquet", [{ name: "title", data: ["x"], type: "STRING" }]);
  expect(rowsOf(file)).rejects.toThrow(`${file}: row 1: unknown row with the keys title`);
});

test("a file that is cut short is refused", async () => {
  const file = write("whole.parquet", [{ name: "text", data: ["a".repeat(1000)], type: "STRING" }]);
  const cut = join(folder, "cut.parquet");
  writeFileSync(cut, readFileSync(file).subarray(0, 60));
  expect(rowsOf(cut)).rejects.toThrow(`${cut} cannot be read as Parquet: `);
});

test("a page that keeps the decoder busy for ever is refused with its row group, and the run goes on", async () => {
  const file = join(import.meta.dir, "hang.parquet");
  const began = performance.now();
  let ticks = 0;
  const clock = setInterval(() => ticks++, 20); // Ctrl-C is heard as long as the event loop turns
  const error = await rejection(rowsOf(file));
  clearInterval(clock);
  expect(error.message).toBe(
    `${file} cannot be read as Parquet in row group 1: decoding it takes far longer than its size explains`,
  );
  expect(performance.now() - began).toBeLessThan(HANG_MS);
  expect(ticks).toBeGreaterThan(20);
});

test("damaged pages are refused with their row group", async () => {
  const text = Array.from({ length: 300 }, (_, i) => `text ${i} ${Math.sin(i)}`);
  const file = write("pages.parquet", [{ name: "text", data: text, type: "STRING" }], 100);
  const bytes = readFileSync(file);
  const second = bytes.indexOf("text 100");
  bytes.fill(0xff, second, second + 40);
  writeFileSync(file, bytes);
  expect((await rejection(rowsOf(file))).message).toStartWith(`${file} cannot be read as Parquet in row group 2: `);
});

test("formats of other tools and columns by name, with nulls", async () => {
  const file = write("tofu.parquet", [
    { name: "q", data: ["Who?", "Where?"], type: "STRING" },
    { name: "answer", data: ["Ada", "Here"], type: "STRING" },
    { name: "text", data: [null, null], type: "STRING" },
  ]);
  const rows: LocatedRow[] = [];
  for await (const row of readRows({ path: file, columns: new Map([["question", "q"]]) })) rows.push(row);
  expect(rows.map(({ row }) => row.form === "messages" && row.messages.map(({ content }) => content))).toEqual([
    ["Who?", "Ada"],
    ["Where?", "Here"],
  ]);
});

test("a page that makes the decoder take all memory is refused with its row group", async () => {
  const data = Array.from({ length: 100 }, (_, i) => (i % 3 ? `t${i}` : null));
  const column: ColumnSource = { name: "text", data, type: "STRING" };
  const bytes = new Uint8Array(parquetWriteBuffer({ codec: "UNCOMPRESSED", columnData: [column] }));
  // The first run of levels: 2^31 - 1 times the same one, where it was thirteen bytes of them.
  const levels = Buffer.from(bytes).indexOf(Buffer.from([0x1b, 0xb6, 0x6d]));
  expect(levels).toBeGreaterThan(0);
  bytes.set([0xfe, 0xff, 0xff, 0xff, 0x0f, 0x01], levels);
  const file = join(folder, "memory.parquet");
  writeFileSync(file, bytes);
  const before = process.memoryUsage.rss();
  let most = before;
  const look = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 20);
  const error = await rejection(rowsOf(file));
  clearInterval(look);
  expect(error.message).toMatch(/cannot be read as Parquet in row group 1: decoding it takes far (more|longer)/);
  expect(most - before).toBeLessThan(500e6);
}, 120_000);
