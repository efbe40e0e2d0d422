/** Files that hold rows, whatever their kind: the same rows from each, and messages that name the row. */
import { describe, expect, test } from "bun:test";
import { gzipSync, constants as zlibConstants, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { type ReadOptions, readRows, readValues } from "../../../src/data/read-rows.ts";
import type { JsonObject } from "../../../src/json.ts";
import { rejection, temporaryFiles } from "../support.ts";

const write = temporaryFiles();

async function valuesOf(file: string, options?: ReadOptions): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const { value } of readValues(file, options)) found.push(value);
  return found;
}
const failure = (name: string, content: string | Uint8Array, options?: ReadOptions) =>
  rejection(valuesOf(write(name, content), options));

const json = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
const rows = fc.array(json, { minLength: 1, maxLength: 8 });
const sizes = fc.integer({ min: 1, max: 64 });
const settings = { numRuns: 100 };

test("a JSON list gives what its elements are, for any sizes of reads and any spaces", async () => {
  await fc.assert(
    fc.asyncProperty(rows, sizes, fc.constantFrom(0, 1, 4), async (given, chunkBytes, indent) => {
      const file = write(
        "list.json",
        `${indent ? " \n" : ""}${JSON.stringify(given, null, indent)}${indent ? "\n" : ""}`,
      );
      expect(await valuesOf(file, { chunkBytes })).toEqual(JSON.parse(JSON.stringify(given)));
    }),
    settings,
  );
});

test("gzip and zstd give what was packed, lists and lines and tables alike", async () => {
  await fc.assert(
    fc.asyncProperty(rows, sizes, fc.boolean(), async (given, chunkBytes, isList) => {
      const text = isList ? JSON.stringify(given) : given.map((row) => JSON.stringify(row)).join("\n");
      const wanted = JSON.parse(JSON.stringify(given));
      // What a file is, is told by its bytes, whatever its name.
      expect(await valuesOf(write("rows.jsonl.gz", gzipSync(text)), { chunkBytes })).toEqual(wanted);
      expect(await valuesOf(write("rows.jsonl", zstdCompressSync(text)), { chunkBytes })).toEqual(wanted);
    }),
    settings,
  );
  const twice = Buffer.concat([gzipSync('{"text":"a"}\n'), gzipSync('{"text":"b"}\n')]);
  expect(await valuesOf(write("members.gz", twice))).toEqual([{ text: "a" }, { text: "b" }]);
  const table = gzipSync("prompt,completion\n1+1=,2\n");
  expect(await valuesOf(write("table.csv.gz", table))).toEqual([{ prompt: "1+1=", completion: "2" }]);
});

test("a packed file that is cut short or changed is refused by name", async () => {
  const text = Array.from({ length: 400 }, (_, i) => JSON.stringify({ text: `row ${i} ${Math.sqrt(i)}` })).join("\n");
  const checked = { params: { [zlibConstants.ZSTD_c_checksumFlag]: 1 } };
  for (const [name, packed] of [
    ["gzip", gzipSync(text)],
    ["zstd", zstdCompressSync(text, checked)],
  ] as const) {
    for (let missing = 5; missing < 40; missing++) {
      const cut = await failure("cut", packed.subarray(0, packed.length - missing));
      expect(cut.message).toContain(`cannot be unpacked with ${name}`);
    }
    // The bytes of a packed file are the packer's choice, so what a change does to them is, too: a change in its
    // middle may unpack to rows that are none before the checksum is reached.
    for (let at = 12; at < packed.length - 20; at += 211) {
      const changed = new Uint8Array(packed);
      for (let i = at; i < at + 20; i++) changed[i]! ^= 0xa5;
      expect((await failure("changed", changed)).message).toMatch(/changed(:\d+)? (cannot be unpacked|is|holds|has) /);
    }
    const checksum = new Uint8Array(packed);
    checksum[packed.length - (name === "gzip" ? 8 : 4)]! ^= 1;
    expect((await failure("checksum", checksum)).message).toContain(`checksum cannot be unpacked with ${name}`);
  }
});

describe("tables", () => {
  const name = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => text.trim() === text && text !== "");
  const cell = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('"', "a,b", "x\ny", "\t", '""'));
  test("give every cell as it was written, for any sizes of reads", async () => {
    const tables = fc.uniqueArray(name, { minLength: 1, maxLength: 4 }).chain((names) =>
      fc.record({
        names: fc.constant(names),
        cells: fc.array(fc.array(cell, { minLength: names.length, maxLength: names.length }), {
          minLength: 1,
          maxLength: 5,
        }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(tables, sizes, fc.constantFrom(",", "\t"), async ({ names, cells }, chunkBytes, delimiter) => {
        const line = (values: readonly string[]) =>
          values.map((text) => `"${text.replaceAll('"', '""')}"`).join(delimiter);
        const file = write(delimiter === "," ? "t.csv" : "t.tsv", [names, ...cells].map(line).join("\r\n"));
        const wanted = cells.map((values) =>
          Object.fromEntries(names.map((n, i) => [n, values[i]]).filter(([, v]) => v !== "")),
        );
        const plainNames = !names.some((n) => ["x", "y", "label", "image"].includes(n));
        fc.pre(plainNames && !names.some((n) => /[;,|\t]/.test(n) && names.length === 1));
        expect(await valuesOf(file, { chunkBytes })).toEqual(wanted as JsonObject[]);
      }),
      settings,
    );
  });

  test("hold JSON where a name wants lists or numbers, and skip a byte order mark", async () => {
    const file = write("j.csv", '\ufeffinput_ids,label,note\n"[1, 2]",3,"[1]"\n');
    expect(await valuesOf(file)).toEqual([{ input_ids: [1, 2], label: 3, note: "[1]" }]);
    const chat = write("chat.tsv", "question\tanswer\nWho?\tAda\n");
    const found = [];
    for await (const { row, place } of readRows(chat)) found.push([row.form, place]);
    expect(found).toEqual([["messages", `${chat}: row 1`]]);
  });

  test("are refused with their row", async () => {
    expect((await failure("short.csv", "a,b\n1,2\n3\n")).message).toMatch(
      /short\.csv cannot be read as a table: Invalid Record Length.* on line 3/,
    );
    expect((await failure("quote.csv", 'a,b\n1,"2\n')).message).toMatch(
      /quote\.csv cannot be read as a table: Quote Not Closed/,
    );
    expect((await failure("loose.csv", 'a,b\n1,x"2\n')).message).toMatch(
      /loose\.csv cannot be read as a table: "?Invalid Opening Quote/,
    );
    expect((await failure("semicolon.csv", "a;b\n1;2\n")).message).toEndWith('semicolon.csv has one column, "a;b"');
    expect((await failure("twice.csv", "a,a\n1,2\n")).message).toEndWith("twice.csv has two columns named a");
    expect((await failure("utf.csv", Uint8Array.of(0x61, 0x0a, 0xff, 0x0a))).message).toEndWith(
      "utf.csv is not valid UTF-8",
    );
    expect((await failure("bad.csv", "input_ids\n[1\n")).message).toContain("bad.csv: row 1: input_ids is not JSON");
    expect((await failure("names.csv", "a,b\n")).message).toEndWith("names.csv holds no rows");
    expect((await failure("long.csv", `a\n${"x".repeat(5000)}\n`, { maxRowBytes: 1000 })).message).toContain(
      "Max Record Size",
    );
  });
});

describe("JSON lists", () => {
  test("are refused with their row", async () => {
    expect((await failure("a.json", '[{"text":"a"},{"text":}]')).message).toContain("a.json: row 2 is not JSON");
    expect((await failure("b.json", '[{"text":"a"},]')).message).toEndWith("b.json: row 2 is empty");
    expect((await failure("c.json", '[{"text":"a"}')).message).toEndWith("c.json ends within its list, in row 1");
    expect((await failure("d.json", '[{"text":"a"}] {}')).message).toEndWith("d.json goes on after its list");
    expect((await failure("e.json", "[ ]")).message).toEndWith("e.json holds no rows");
    expect(
      (await failure("f.json", `[{"text":"${"x".repeat(3000)}"}]`, { maxRowBytes: 1000, chunkBytes: 64 })).message,
    ).toContain("f.json: row 1: the row is larger than 1000 bytes");
    expect((await failure("g.json", '{\n "data": [1]\n}')).message).toEndWith(
      "g.json:1 begins an object that goes over several lines",
    );
  });
});

test("plain text is told from rows", async () => {
  const error = await failure("notes.txt", "Once upon a time\nthere was\n");
  expect(error.message).toEndWith("notes.txt:1 is not JSON: it begins with Once upon a time");
  expect(error.hint).toContain("jq -Rc '{text: .}'");
});

test("a number that is too large to be one is named, and text that looks like one is not", async () => {
  for (const [row, shown] of [
    ['{"x": [0, 1e400], "label": 0}', "1e400"],
    ['{"text": "a", "weight": -1E+0999}', "-1E+0999"],
    [`{"text": "a", "n": {"deep": [1${"0".repeat(400)}]}}`, `"${`1${"0".repeat(39)}`}…"`],
  ])
    expect((await failure("large.jsonl", `{"text":"a"}\n${row}\n`)).message).toEndWith(
      `:2: ${shown} is too large for a number`,
    );
  const fine = '{"text": "1e400", "tiny": 1e-400, "most": 1.7e308}';
  expect(await valuesOf(write("fine.jsonl", fine))).toEqual([{ text: "1e400", tiny: 0, most: 1.7e308 }]);
});
