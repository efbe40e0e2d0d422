/**
 * Files that are damaged or made to harm: each is read right or refused with a UserError, in bounded time and memory.
 *
 * Most cases are parsed from memory; some hundreds go through `open` on real files, folders and streams. What is
 * accepted is checked against a plain `JSON.parse` of the same header: every tensor lies inside the file and is what
 * the text says.
 */
import { afterAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype, isDtype } from "../../src/checkpoint/dtype.ts";
import { parseIndex } from "../../src/checkpoint/folder/folder.ts";
import { LINEAGE_KEY, parseLineage } from "../../src/checkpoint/lineage/lineage.ts";
import { open } from "../../src/checkpoint/open.ts";
import { parseFile } from "../../src/checkpoint/safetensors/header.ts";
import { filesOfMetadata } from "../../src/checkpoint/safetensors/metadata.ts";
import { openStream } from "../../src/checkpoint/stream/stream.ts";
import { UserError } from "../../src/errors.ts";
import { HANG_MS } from "../support/hang.ts";
import { bytesOf, fileOf, inFolder, make, raw } from "./sample.ts";

const SEED = 20_260;

const lineage = JSON.stringify([
  { script: "merge", version: "1", options: { t: 0.5 }, seed: 0, inputs: [{ ref: "a", bytes: 4 }], run: "r", time: "" },
]);
const metadata = {
  format: "pt",
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json+gzip": gzipSync("a tokenizer".repeat(20)).toString("base64"),
  [LINEAGE_KEY]: lineage,
};
const everyDtype = Object.fromEntries(
  (Object.keys(DTYPE_BYTES) as Dtype[]).map((d): [string, [Dtype, number[]]] => [d, [d, [4, 3]]]),
);
const BASES: Uint8Array[] = [
  fileOf(make({ w: ["F32", [4, 4]], b: ["BF16", [3]], e: ["U8", [0, 7]], s: ["F64", []] }), metadata),
  fileOf(make(everyDtype)),
  fileOf(make({ "model.layers.0.w": ["F16", [16]], "model.layers.1.w": ["F16", [16]] }), { format: "pt" }),
  fileOf([]),
];

/** Refusals, by the rule that made them. A message that fits none fails the test: rules and kinds stay in step. */
const KINDS: [string, RegExp][] = [
  ["header length", /states a header of|bytes long; a safetensors file has at least/],
  ["cut short", /cut short/],
  ["trailing bytes", /trailing bytes/],
  ["not a header", /does not begin with \{|is not a JSON object/],
  ["UTF-8", /not valid UTF-8|not valid Unicode/],
  ["JSON", /is not JSON/],
  ["duplicate key", /has the key .* twice/s],
  ["depth", /nested deeper/],
  ["metadata", /__metadata__|gzip|base64|metadata has both|makes the model's files larger/],
  ["lineage", /ingot\.lineage/],
  ["tensor fields", /is not described by an object|has no dtype|has no shape|needs two valid data_offsets/],
  ["dtype", /has dtype .* not supported/s],
  ["shape", /in its shape|shape of more than/],
  ["size against shape", /but its data_offsets|a tensor fills whole ones/],
  ["overlap", /, inside .*, which ends at/s],
  ["hole", /a hole that belongs to no tensor/],
  [
    "index",
    /weight_map|names no tensor|not a safetensors file inside the folder|says tensor|lacks tensor|of another write/,
  ],
  ["missing file", /no such file/],
  ["another kind of file", /expected safetensors/],
  ["empty stream", /was empty/],
];

const counts = new Map<string, number>();
const bump = (kind: string): void => {
  counts.set(kind, (counts.get(kind) ?? 0) + 1);
};
let slowest = 0;

/** Counts a case. Whatever is thrown but a UserError is a failure, and so is a case that takes too long. */
function judged(started: number, error?: unknown): void {
  const ms = performance.now() - started;
  slowest = Math.max(slowest, ms);
  if (ms > HANG_MS) throw new Error(`a case took ${ms} ms`);
  if (error === undefined) {
    bump("read");
    return;
  }
  if (!(error instanceof UserError)) throw error;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not reach a terminal
  if (error.message.length > 4000 || /[\u0000-\u001f\u007f]/.test(error.message)) throw new Error("an unfit message");
  const kind = KINDS.find(([, pattern]) => pattern.test(error.message));
  if (kind === undefined) throw new Error(`no kind for: ${error.message}`);
  bump(kind[0]);
}

/** A place in a text or list, from 0 to 1. Not fc.double: its values crowd towards 0. */
const position = fc.nat(2 ** 30 - 1).map((n) => n / 2 ** 30);
const byteEdit = fc.oneof(
  fc.record({ op: fc.constant("flip" as const), at: position, bit: fc.nat(7) }),
  fc.record({ op: fc.constant("flip header" as const), at: position, bit: fc.nat(7) }),
  fc.record({
    op: fc.constant("length" as const),
    value: fc.oneof(fc.bigInt(0n, 1000n), fc.bigInt(0n, 2n ** 64n - 1n)),
  }),
  fc.record({ op: fc.constant("cut" as const), at: position }),
  fc.record({ op: fc.constant("insert" as const), at: position, bytes: fc.uint8Array({ maxLength: 20 }) }),
  fc.record({
    op: fc.constant("token" as const),
    at: position,
    text: fc.constantFrom(...'{}[]",:\\0-9eE.\u0000'.split(""), "null", "\\ud800", '"w":'),
  }),
  fc.record({ op: fc.constant("splice" as const), at: position, from: position, size: fc.nat(60) }),
  fc.record({ op: fc.constant("delete" as const), at: position, size: fc.nat(30) }),
);
type ByteEdit = typeof byteEdit extends fc.Arbitrary<infer T> ? T : never;

function editBytes(file: Uint8Array, edit: ByteEdit): Uint8Array {
  const place = (at: number, end = file.length) => Math.floor(at * end);
  const replace = (at: number, removed: number, put: Uint8Array) =>
    Buffer.concat([file.subarray(0, at), put, file.subarray(Math.min(file.length, at + removed))]);
  switch (edit.op) {
    case "flip":
    case "flip header": {
      const out = file.slice();
      const header = Math.min(file.length, 8 + (file[0]! | (file[1]! << 8)));
      const at = place(edit.at, edit.op === "flip" ? file.length : header);
      if (at < out.length) out[at]! ^= 1 << edit.bit;
      return out;
    }
    case "length": {
      const out = file.slice();
      if (out.length >= 8) new DataView(out.buffer, out.byteOffset).setBigUint64(0, edit.value, true);
      return out;
    }
    case "cut":
      return file.slice(0, place(edit.at));
    case "insert":
      return replace(place(edit.at), 0, edit.bytes);
    case "token": {
      const put = new TextEncoder().encode(edit.text);
      return replace(place(edit.at), put.length, put); // in place, so that the length stays right
    }
    case "splice": {
      const from = place(edit.from);
      return replace(place(edit.at), edit.size, file.subarray(from, from + edit.size));
    }
    case "delete":
      return replace(place(edit.at), edit.size, new Uint8Array());
  }
}

const damagedText = (text: string, edit: ByteEdit): string =>
  new TextDecoder().decode(editBytes(new TextEncoder().encode(text), edit));

/** Texts that stand for a JSON value where another is expected. */
const oddValue = fc.oneof(
  fc.constantFrom(
    "0",
    "-1",
    "1.5",
    "1e400",
    "9007199254740993",
    "4294967296",
    "-0",
    "null",
    "true",
    '""',
    '"F4"',
    '"BF16"',
    "[]",
    "{}",
    "[0]",
    "[0,0]",
  ),
  fc.constantFrom(
    "[4294967296,4294967296,0]",
    '{"__proto__":1}',
    '{"a":1,"a":2}',
    '"\\ud800"',
    '"../x.safetensors"',
    '"other.safetensors"',
    '"/x.safetensors"',
  ),
  fc.integer({ min: 1, max: 3000 }).map((n) => "[".repeat(n) + "]".repeat(n)),
  fc.nat(2 ** 16).map(String),
  fc.tuple(fc.nat(200), fc.nat(200)).map(([a, b]) => `[${a},${b}]`),
  fc.string().map((text) => JSON.stringify(text)),
);
const oddKey = fc.constantFrom(
  "w",
  "b",
  "__proto__",
  "constructor",
  "__metadata__",
  "dtype",
  "shape",
  "data_offsets",
  "10",
  "",
  "a\u001b[2J",
  LINEAGE_KEY,
  "tokenizer.json+gzip",
  "tokenizer.json",
);
const jsonEdit = fc.record({
  at: position,
  what: fc.constantFrom("value", "key", "drop", "twice"),
  value: oddValue,
  key: oddKey,
});
type JsonEdit = typeof jsonEdit extends fc.Arbitrary<infer T> ? T : never;

/** Rewrites one member, at any depth, of a JSON text; the text is built by hand, so that keys can repeat. */
function editJson(text: string, edit: JsonEdit): string {
  let members = 0;
  const count = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const inner of Object.values(value)) {
      members++;
      count(inner);
    }
  };
  const root = JSON.parse(text);
  count(root);
  let left = Math.floor(edit.at * members);
  const print = (value: unknown): string => {
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    const list = Array.isArray(value);
    const parts = Object.entries(value).flatMap(([key, inner]) => {
      const member = (k: string, v: string) => (list ? v : `${JSON.stringify(k)}:${v}`);
      if (left-- !== 0) return [member(key, print(inner))];
      if (edit.what === "drop") return [];
      if (edit.what === "twice") return [member(key, print(inner)), member(key, edit.value)];
      if (edit.what === "key") return [member(edit.key, print(inner))];
      return [member(key, edit.value)];
    });
    return list ? `[${parts.join(",")}]` : `{${parts.join(",")}}`;
  };
  return print(root);
}

const split = (file: Uint8Array): [string, Uint8Array] => {
  const length = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  return [new TextDecoder().decode(file.subarray(8, 8 + length)), file.subarray(8 + length)];
};

const editedJson = fc
  .tuple(fc.nat(BASES.length - 1), fc.array(jsonEdit, { minLength: 1, maxLength: 2 }))
  .map(([base, edits]) => {
    let [text, data] = split(BASES[base]!);
    for (const edit of edits) {
      try {
        text = editJson(text, edit);
      } catch {
        break; // the edit before made it no JSON
      }
    }
    return raw(text, data);
  });
const editedBytes = fc
  .tuple(fc.nat(BASES.length - 1), fc.array(byteEdit, { minLength: 1, maxLength: 3 }))
  .map(([base, edits]) => edits.reduce(editBytes, BASES[base]!));
const anyFile = fc.oneof(editedBytes, editedJson);

/** The full reading of a file from memory, and the check of what was accepted. */
function readFromMemory(file: Uint8Array): void {
  const started = performance.now();
  try {
    const header = parseFile(file, "x");
    filesOfMetadata(header.metadata, "x");
    parseLineage(header.metadata.get(LINEAGE_KEY), "x");
    const plain = JSON.parse(split(file)[0]) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: number[] }
    >;
    const names = Object.keys(plain).filter((name) => name !== "__metadata__");
    expect(header.tensors.length).toBe(names.length);
    let at = 0;
    for (const { name, dtype, shape, bytes, begin } of header.tensors) {
      expect([dtype, shape, [begin, begin + bytes]]).toEqual([
        plain[name]!.dtype as Dtype,
        plain[name]!.shape,
        plain[name]!.data_offsets,
      ]);
      expect(isDtype(dtype) && begin === at && header.dataStart + begin + bytes <= file.length).toBeTrue();
      at = begin + bytes;
    }
    expect(header.dataStart + at).toBe(file.length);
  } catch (error) {
    judged(started, error);
    return;
  }
  judged(started);
}

async function readAll(opened: Promise<Checkpoint>, started: number): Promise<void> {
  let checkpoint: Checkpoint | undefined;
  try {
    checkpoint = await opened;
    for (const entry of checkpoint.tensors.values()) await bytesOf(entry);
    if ("finish" in checkpoint) await (checkpoint as { finish(): Promise<void> }).finish();
  } catch (error) {
    return judged(started, error);
  } finally {
    checkpoint?.close();
  }
  judged(started);
}

const run = (numRuns: number) => ({ numRuns, seed: SEED, endOnFailure: false });

/** With INGOT_TEST_LONG=1 all cases; else a quarter of them. */
const many = (cases: number) => run(process.env.INGOT_TEST_LONG === "1" ? cases : cases / 4);

describe("fuzz", () => {
  const before = process.memoryUsage().rss;

  test("files with damaged bytes", () => {
    fc.assert(fc.property(editedBytes, readFromMemory), many(30_000));
  }, 120_000);

  test("files with an edited header", () => {
    fc.assert(fc.property(editedJson, readFromMemory), many(20_000));
  }, 120_000);

  test("files whose tensors lie elsewhere", () => {
    const shift = fc.record({
      tensor: fc.nat(20),
      by: fc.integer({ min: -40, max: 40 }),
      grow: fc.integer({ min: -2, max: 2 }),
    });
    fc.assert(
      fc.property(fc.nat(2), fc.array(shift, { minLength: 1, maxLength: 2 }), (base, shifts) => {
        const [text, data] = split(BASES[base]!);
        const header = JSON.parse(text) as Record<string, { shape: number[]; dtype: Dtype; data_offsets: number[] }>;
        const names = Object.keys(header).filter((name) => name !== "__metadata__");
        for (const { tensor, by, grow } of shifts) {
          const info = header[names[tensor % names.length]!]!;
          const [rows = 1, ...rest] = info.shape;
          info.shape = [rows + grow, ...rest];
          const begin = info.data_offsets[0]! + by;
          const bytes = info.shape.reduce((product, side) => product * side, DTYPE_BYTES[info.dtype]);
          info.data_offsets = [begin, begin + bytes];
        }
        readFromMemory(raw(JSON.stringify(header), data));
      }),
      run(5000),
    );
  }, 120_000);

  test("indexes and lineages", () => {
    const index = JSON.stringify({
      metadata: { total_size: 4 },
      weight_map: { w: "a.safetensors", b: "b/c.safetensors" },
    });
    const damaged = (text: string) =>
      fc.oneof(
        jsonEdit.map((edit) => editJson(text, edit)),
        byteEdit.map((edit) => damagedText(text, edit)),
      );
    const property = (text: string, parse: (text: string) => void) =>
      fc.property(damaged(text), (input) => {
        const started = performance.now();
        try {
          parse(input);
        } catch (error) {
          return judged(started, error);
        }
        judged(started);
      });
    fc.assert(
      property(index, (text) => {
        for (const file of parseIndex(text, "x").shards) {
          const inside = path.resolve("/folder", file);
          expect(inside.startsWith("/folder/") && inside.endsWith(".safetensors")).toBeTrue();
        }
      }),
      run(2000),
    );
    fc.assert(
      property(lineage, (text) => {
        for (const { script, inputs } of parseLineage(text, "x"))
          expect(typeof script + inputs.length).toStartWith("string");
      }),
      run(2000),
    );
  }, 120_000);

  test(
    "files, folders and streams on a disk",
    () =>
      inFolder(async (top) => {
        const file = path.join(top, "x.safetensors");
        await fc.assert(
          fc.asyncProperty(anyFile, async (bytes) => {
            fs.writeFileSync(file, bytes);
            await readAll(open(file), performance.now());
            await readAll(openStream(fs.openSync(file, "r"), "stdin", "-", true), performance.now());
          }),
          run(200),
        );
        const folder = path.join(top, "model");
        fs.mkdirSync(folder);
        const shards = [BASES[0]!, BASES[2]!];
        const weightMap = Object.fromEntries(
          shards.flatMap((bytes, i) =>
            parseFile(bytes, "x").tensors.map(({ name }) => [name, `model-${i + 1}.safetensors`]),
          ),
        );
        const index = JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap });
        await fc.assert(
          fc.asyncProperty(fc.nat(3), jsonEdit, byteEdit, async (which, inJson, inBytes) => {
            fs.writeFileSync(
              `${folder}/model.safetensors.index.json`,
              [index, index, editJson(index, inJson), damagedText(index, inBytes)][which]!,
            );
            for (const [i, bytes] of shards.entries()) {
              fs.writeFileSync(`${folder}/model-${i + 1}.safetensors`, which === i ? editBytes(bytes, inBytes) : bytes);
            }
            await readAll(open(folder), performance.now());
          }),
          run(500),
        );
      }),
    60_000,
  );

  test("took bounded memory, and met every rule", () => {
    expect(process.memoryUsage().rss - before).toBeLessThan(600e6);
    for (const [kind] of KINDS)
      if (kind !== "empty stream") expect([kind, counts.get(kind) ?? 0]).not.toEqual([kind, 0]);
  });

  afterAll(() => {
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const rows = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `  ${String(n).padStart(6)}  ${kind}`);
    console.error(`fuzz: seed ${SEED}, ${total} cases, slowest ${slowest.toFixed(1)} ms\n${rows.join("\n")}`);
  });
});
