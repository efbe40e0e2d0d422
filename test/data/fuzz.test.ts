/**
 * Files of rows that are damaged or made to harm: each is read or refused with a UserError that names it, in bounded
 * time and memory. What is read is tokenized, too.
 */
import { afterAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import { readRows } from "../../src/data/read-rows.ts";
import { ROW_FORMATS } from "../../src/data/row-formats.ts";
import { encodeRow } from "../../src/data/sequences.ts";
import { UserError } from "../../src/errors.ts";
import type { Json } from "../../src/json.ts";
import { HANG_MS } from "../support/hang.ts";

const SEED = 20_261;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-rows-fuzz-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const ROWS = [
  { text: "a cat" },
  { prompt: "2+2=", completion: "4", text: null },
  {
    messages: [
      { role: "user", content: "hi" },
      { role: "assistant", content: "ho" },
    ],
  },
  {
    conversations: [
      { from: "human", value: "hi" },
      { from: "gpt", value: "ho" },
    ],
    system: "s",
  },
  { instruction: "add", input: "2+2", output: "4", history: [["a", "b"]] },
  { question: "Who?", answer: "Ada" },
  { prompt: "q", chosen: "a", rejected: "b" },
  { input_ids: [0, 5, 6], labels: [-100, 5, 6], attention_mask: [0, 1, 1] },
  { x: [0.5, 1e300], label: 1 },
  {
    image: [
      [0, 1],
      [1, 0],
    ],
    label: 0,
  },
];
const lines = ROWS.map((row) => JSON.stringify(row)).join("\n");
const table = 'prompt,completion,note\n"1,""1""",2,\n3,"4\n5",x\n';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const FILES: readonly (readonly [name: string, content: Uint8Array])[] = [
  ["rows.jsonl", bytes(lines)],
  ["rows.json", bytes(JSON.stringify(ROWS, null, 1))],
  ["rows.csv", bytes(table)],
  ["rows.tsv", bytes(table.replaceAll(",", "\t"))],
  ["rows.jsonl.gz", gzipSync(lines)],
  ["rows.jsonl.zst", zstdCompressSync(lines)],
  ["rows.csv.gz", gzipSync(table)],
];

/** Refusals, by the rule that made them. A message that fits none fails the test. */
const KINDS: readonly [string, RegExp][] = [
  ["JSON", /is not JSON|has the key .* twice|nested deeper/s],
  ["UTF-8", /not valid UTF-8/],
  ["number", /too large for a number/],
  ["unknown row", /unknown row|expected an object/],
  ["two formats", /as well as/],
  [
    "field",
    /should (be|hold)|but has|is the string|begins with|is not a pair|is from|prompt is|chosen is|labels for|is no text/,
  ],
  ["tokens", /input_ids is empty|attention_mask (is|has)|is not a token|has no tokens/],
  ["preference", /no beginning in common|differ in length alone|chosen and a rejected/],
  ["for others", /for a classifier|has a prompt and no completion|pair of texts is for/],
  ["list", /ends within its list|goes on after its list|is empty/],
  ["packing", /cannot be unpacked/],
  ["table", /cannot be read as a table|two columns named|has one column/],
  ["Parquet", /cannot be read as Parquet/],
  ["other file", /expected rows|begins an object/],
  ["no rows", /holds no rows|is already|its first turn is one/],
];
const counts = new Map<string, number>();
let slowest = 0;

function judge(error: unknown, ms: number, place: string): void {
  slowest = Math.max(slowest, ms);
  if (ms > HANG_MS) throw new Error(`a case took ${ms} ms`);
  if (error === undefined) return void counts.set("read", (counts.get("read") ?? 0) + 1);
  if (!(error instanceof UserError)) throw error;
  expect(error.message).toStartWith(place);
  if (error.message.length > 4000) throw new Error("a message without end");
  const kind = KINDS.find(([, pattern]) => pattern.test(error.message));
  if (kind === undefined) throw new Error(`no kind for: ${error.message}`);
  counts.set(kind[0], (counts.get(kind[0]) ?? 0) + 1);
}

const tokenizer = byteTokenizer();

async function judgeFile(name: string, content: Uint8Array): Promise<void> {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  const began = performance.now();
  let error: unknown;
  try {
    for await (const row of readRows(file)) {
      if (row.row.form !== "example" && row.row.form !== "preference" && row.row.form !== "prompt")
        encodeRow(row, { tokenizer });
    }
  } catch (thrown) {
    error = thrown;
  }
  judge(error, performance.now() - began, file);
}

/** A place, from 0 to 1. */
const position = fc.nat(2 ** 30 - 1).map((n) => n / 2 ** 30);
const edit = fc.oneof(
  fc.record({ put: fc.uint8Array({ maxLength: 4 }), at: position, removed: fc.nat(4) }),
  fc.record({
    put: fc
      .constantFrom(...'{}[]",:\\0-9eE.\n\u0000'.split(""), "null", "1e999", '"x":', '"text":"a",', "[[[[", "\ud800")
      .map(bytes),
    at: position,
    removed: fc.nat(2),
  }),
  fc.record({ put: fc.constant(new Uint8Array()), at: position, removed: fc.constant(1e9) }),
);

function edited(content: Uint8Array, edits: readonly { put: Uint8Array; at: number; removed: number }[]): Uint8Array {
  return edits.reduce((file, { put, at, removed }) => {
    const from = Math.floor(at * file.length);
    return new Uint8Array(Buffer.concat([file.subarray(0, from), put, file.subarray(from + removed)]));
  }, content);
}

const edits = fc.array(edit, { minLength: 1, maxLength: 3 });

describe("rows that are damaged", () => {
  for (const [name, content] of FILES) {
    test(`600 ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(edits, (some) => judgeFile(name, edited(content, some))),
        { numRuns: 600, seed: SEED, endOnFailure: true },
      );
    }, 120_000);
  }

  test("40 Parquet files", async () => {
    const columnData = [
      { name: "prompt", data: ROWS.map((_, i) => `q${i % 3}`), type: "STRING" as const },
      { name: "completion", data: ROWS.map((_, i) => (i % 4 ? `a${i}` : null)), type: "STRING" as const },
      { name: "n", data: ROWS.map((_, i) => BigInt(i)), type: "INT64" as const },
    ];
    const whole = new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 5 }));
    await fc.assert(
      fc.asyncProperty(edits, (some) => judgeFile("rows.parquet", edited(whole, some))),
      { numRuns: 40, seed: SEED, endOnFailure: true },
    );
  }, 120_000);

  test("4,000 rows of known keys and any values", () => {
    const names = [...new Set(ROW_FORMATS.flat().flatMap(({ needs, optional = [] }) => [...needs, ...optional]))];
    const said = fc.array(
      fc.record(
        { role: fc.constantFrom("user", "assistant", "x"), content: fc.string({ maxLength: 3 }), from: fc.string() },
        { requiredKeys: [] },
      ),
      { maxLength: 3 },
    );
    const value = fc.oneof(
      fc.string({ maxLength: 5, unit: "binary" }),
      fc.constantFrom(null, 0, -1, 1.5, 1e300, true, "", [], {}, [[]], "__proto__"),
      fc.array(fc.integer({ min: -101, max: 300 }), { maxLength: 4 }),
      fc.array(fc.array(fc.nat(3), { maxLength: 3 }), { maxLength: 3 }),
      said,
      fc.jsonValue({ maxDepth: 3 }),
    );
    const row = fc.dictionary(fc.constantFrom(...names, "__proto__", "other"), value as fc.Arbitrary<Json>, {
      maxKeys: 5,
    });
    fc.assert(
      fc.property(row, (given) => {
        const began = performance.now();
        let error: unknown;
        try {
          const read = parseRow(given, "r:1");
          if (read.form !== "example") encodeRow({ row: read, place: "r:1" }, { tokenizer });
        } catch (thrown) {
          error = thrown;
        }
        judge(error, performance.now() - began, "r:1");
      }),
      { numRuns: 4000, seed: SEED, endOnFailure: true },
    );
  }, 120_000);

  test("what unpacks to far more than it is, is refused at the bound of a row", async () => {
    const before = process.memoryUsage.rss();
    for (const [name, pack] of [
      ["bomb.gz", gzipSync],
      ["bomb.zst", zstdCompressSync],
    ] as const) {
      const packed = pack(Buffer.alloc(2 ** 28, 0x20));
      const file = path.join(folder, name);
      fs.writeFileSync(file, packed);
      await expect(Array.fromAsync(readRows(file))).rejects.toThrow("the row is larger than 64 MiB");
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30);
  }, 120_000);

  test("every rule was met", () => {
    console.log(
      `${Object.entries(Object.fromEntries(counts))
        .map(([kind, n]) => `${kind} ${n}`)
        .join(", ")}; slowest ${Math.round(slowest)} ms`,
    );
    const wanted = ["read", ...KINDS.map(([kind]) => kind)];
    expect(wanted.filter((kind) => !counts.has(kind))).toEqual([]);
  });
});
