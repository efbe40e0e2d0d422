/** Rows from files and pipes: every row once, whatever the reads look like, and messages that name file and line. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { type ReadOptions, readRows } from "../../src/data/read-rows.ts";
import { rejection, temporaryFiles } from "./support.ts";

const write = temporaryFiles();

async function texts(file: string, options?: ReadOptions): Promise<[string, number][]> {
  const found: [string, number][] = [];
  for await (const { row, place } of readRows(file, options)) {
    if (row.form === "text") found.push([row.text, Number(place.slice(place.lastIndexOf(":") + 1))]);
  }
  return found;
}

test("gives every row with its line, for any sizes of reads and any line ends", async () => {
  const line = fc.oneof(
    fc.constant(""),
    fc.string({ maxLength: 200, unit: "grapheme" }).map((text) => JSON.stringify({ text })),
  );
  const lines = fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n")), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(lines, fc.integer({ min: 1, max: 300 }), fc.boolean(), async (given, chunkBytes, ended) => {
      const all = [...given, ['{"text":"last"}', ended ? "\n" : ""] as const];
      const file = write("any.jsonl", all.flat().join(""));
      const wanted = all.flatMap(([row], i) => (row === "" ? [] : [[JSON.parse(row).text, i + 1]]));
      expect(await texts(file, { chunkBytes })).toEqual(wanted as [string, number][]);
    }),
    { numRuns: 150 },
  );
});

test("passes over a byte order mark", async () => {
  expect(await texts(write("bom.jsonl", '\ufeff{"text":"a"}\n'))).toEqual([["a", 1]]);
  expect(await texts(write("bom.jsonl", '\ufeff{"text":"a"}\n'), { chunkBytes: 1 })).toEqual([["a", 1]]);
});

const kinds: [string, string | Uint8Array, string][] = [
  ["gzip in gzip", gzipSync(gzipSync('{"text":"a"}')), "unpacked, is a gzip file; expected rows"],
  ["safetensors", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d), "is a safetensors file; expected rows"],
  ["GGUF", "GGUF\x03\0\0\0", "is a GGUF file; expected rows"],
  ["a web page", "<!DOCTYPE html>", "is a web page; expected rows"],
  ["other bytes", "abc\0\0\0", "is a binary file; expected rows"],
];
for (const [name, content, text] of kinds) {
  test(`names ${name} given as data`, async () => {
    const file = write("kind", content);
    const { message } = await rejection(texts(file));
    expect(message.replace(/[ ,]*/, "")).toBe(`${file}${text.startsWith("unpacked") ? ", " : " "}${text}`);
  });
}

test("names file and line of what cannot be read", async () => {
  const file = write("bad.jsonl", '{"text":"a"}\n\n{"text":"b"\n');
  expect((await rejection(texts(file))).message).toStartWith(`${file}:3 is not JSON`);
  write("bad.jsonl", '{"text":"first"}\n{"texts":"b"}');
  const unknown = await rejection(texts(file));
  expect(unknown.message).toBe(`${file}:2: unknown row with the keys texts`);
  expect(unknown.hint).toStartWith("a row holds text, prompt and completion, messages");
  write("bad.jsonl", '{"text":"a","text":"b"}');
  expect((await rejection(texts(file))).message).toBe(`${file}:1 has the key text twice`);
  write("bad.jsonl", Uint8Array.of(...Buffer.from('{"text":"'), 0xff, ...Buffer.from('"}')));
  expect((await rejection(texts(file))).message).toBe(`${file}:1 is not valid UTF-8`);
});

test("refuses a row above the bound without reading it whole", async () => {
  const row = (n: number) => JSON.stringify({ text: "x".repeat(n) });
  const file = write("long.jsonl", `${row(10)}\n${row(5000)}\n`);
  const error = await rejection(texts(file, { maxRowBytes: 1000, chunkBytes: 100 }));
  expect(error.message).toBe(`${file}:2: the row is larger than 1000 bytes`);
  const exact = write("exact.jsonl", `${row(989)}\n${row(989)}`);
  expect(await texts(exact, { maxRowBytes: 1000, chunkBytes: 64 })).toHaveLength(2);
});

test("says so when there is nothing to read", async () => {
  const empty = write("empty.jsonl", "\n\n");
  expect((await rejection(texts(empty))).message).toBe(`${empty} holds no rows`);
  const missing = path.join(path.dirname(empty), "missing.jsonl");
  expect((await rejection(texts(missing))).message).toBe(`${missing} does not exist`);
  const folder = path.dirname(empty);
  expect((await rejection(texts(folder))).message).toBe(`${folder} is a folder`);
  const stdin = fs.openSync(empty, "r");
  const error = await rejection(texts("-", { stdin }));
  fs.closeSync(stdin);
  expect(error.message).toBe("stdin holds no rows");
});

test("reads a slow pipe as it arrives", async () => {
  const module = path.join(import.meta.dir, "../../src/data/read-rows.ts");
  const code = `const { readRows } = await import(${JSON.stringify(module)});
    for await (const { row, place } of readRows("-")) process.stdout.write(place + " " + row.text + "\\n");`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  child.stdin.write('{"text":"first"}\n{"te');
  await child.stdin.flush();
  const reader = child.stdout.getReader();
  const first = await reader.read(); // before the second row is complete
  expect(new TextDecoder().decode(first.value)).toBe("stdin:1 first\n");
  child.stdin.write('xt":"b"}');
  await child.stdin.end();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("stdin:2 b\n");
  expect(await child.exited).toBe(0);
});
