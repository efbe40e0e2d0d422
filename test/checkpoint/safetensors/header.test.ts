import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import {
  encodeHeader,
  headerLength,
  MAX_HEADER_BYTES,
  parseFile,
  parseHeader,
} from "../../../src/checkpoint/safetensors/header.ts";
import { HANG_MS } from "../../support/hang.ts";
import { fileOf, make, raw, readIndependently, refusal } from "../sample.ts";

const tensor = (dtype: string, shape: string, begin: number, end: number) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const one = (dtype: string, shape: string, begin: number, end: number) => `{"w":${tensor(dtype, shape, begin, end)}}`;
const zeros = (n: number) => new Uint8Array(n);

/** Name of the rule, the file that breaks it, the message. */
const HOSTILE: [string, Uint8Array, string][] = [
  ["an empty file", zeros(0), "x is 0 bytes long; a safetensors file has at least 10"],
  ["no room for a header", zeros(7), "x is 7 bytes long; a safetensors file has at least 10"],
  ["a header of no bytes", raw("", zeros(4)), "x states a header of 0 bytes; the shortest is 2"],
  [
    "a header past the end of the file",
    raw("{}", zeros(0), 100n),
    "x is cut short: its header ends at byte 108 but the file at byte 10",
  ],
  [
    "a header over the limit",
    raw("{}", zeros(0), 100_000_001n),
    "x states a header of 100,000,001 bytes; at most 100,000,000 are read",
  ],
  [
    "a header length with the highest bit set",
    raw("{}", zeros(0), 0xffff_ffff_ffff_ffffn),
    "x states a header of 18,446,744,073,709,552,000 bytes; at most 100,000,000 are read",
  ],
  ["a header that does not begin with {", raw(" {}"), "x: header does not begin with {"],
  ["a list for a header", raw("[]"), "x: header does not begin with {"],
  ["invalid UTF-8", raw(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), "x: header is not valid UTF-8"],
  ["invalid JSON", raw('{"w":}'), "x: header is not JSON: \"Unexpected token '}'\""],
  [
    "a tensor named twice",
    raw(`{"w":${tensor("U8", "[1]", 0, 1)},"w":${tensor("U8", "[1]", 1, 2)}}`, zeros(2)),
    "x: header has the key w twice",
  ],
  [
    "a tensor named twice, once in escapes",
    raw(`{"w":${tensor("U8", "[1]", 0, 1)},"\\u0077":${tensor("U8", "[1]", 1, 2)}}`, zeros(2)),
    "x: header has the key w twice",
  ],
  ["metadata twice", raw('{"__metadata__":{},"__metadata__":{}}'), "x: header has the key __metadata__ twice"],
  ["a key twice in metadata", raw('{"__metadata__":{"a":"1","a":"2"}}'), "x: header has the key a twice"],
  [
    "a field twice",
    raw('{"w":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}', zeros(1)),
    "x: header has the key dtype twice",
  ],
  [
    "deep nesting",
    raw(`{"w":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    "x: header is nested deeper than 16 levels",
  ],
  ["metadata that is a list", raw('{"__metadata__":[]}'), "x: __metadata__ is not an object of strings"],
  [
    "metadata with a number",
    raw('{"__metadata__":{"a":1}}'),
    "x: __metadata__ has a value under a that is not a string",
  ],
  ["a tensor that is a number", raw('{"w":1}'), "x: tensor w is not described by an object"],
  ["__proto__ that is no tensor", raw('{"__proto__":{"a":1}}'), "x: tensor __proto__ has no dtype"],
  ["no dtype", raw('{"w":{"shape":[],"data_offsets":[0,1]}}'), "x: tensor w has no dtype"],
  ["an unknown dtype", raw(one("F5", "[2]", 0, 1), zeros(1)), "x: tensor w has dtype F5, which is not supported"],
  [
    "a dtype named as a method",
    raw(one("toString", "[]", 0, 1)),
    "x: tensor w has dtype toString, which is not supported",
  ],
  ["no shape", raw('{"w":{"dtype":"U8","data_offsets":[0,1]}}'), "x: tensor w has no shape"],
  [
    "a negative side",
    raw(one("U8", "[-1]", 0, 1), zeros(1)),
    "x: tensor w has -1 in its shape; expected integers from 0 to 2^53 - 1",
  ],
  [
    "a fractional side",
    raw(one("U8", "[1.5]", 0, 1), zeros(1)),
    "x: tensor w has 1.5 in its shape; expected integers from 0 to 2^53 - 1",
  ],
  [
    "a side that is text",
    raw(one("U8", '["1"]', 0, 1), zeros(1)),
    'x: tensor w has "\\"1\\"" in its shape; expected integers from 0 to 2^53 - 1',
  ],
  [
    "a side too large for a number",
    raw(one("U8", "[9007199254740993]", 0, 1), zeros(1)),
    "x: tensor w has 9007199254740992 in its shape; expected integers from 0 to 2^53 - 1",
  ],
  [
    "a product that overflows",
    raw(one("F32", "[4294967296,4294967296]", 0, 0)),
    "x: tensor w has a shape of more than 2^53 bytes: (4294967296, 4294967296)",
  ],
  [
    "a product that overflows beside a zero",
    raw(one("F32", "[0,4294967296,4294967296]", 0, 0)),
    "x: tensor w has a shape of more than 2^53 bytes: (0, 4294967296, 4294967296)",
  ],
  ["no offsets", raw('{"w":{"dtype":"U8","shape":[]}}'), "x: tensor w needs two valid data_offsets"],
  ["one offset", raw('{"w":{"dtype":"U8","shape":[],"data_offsets":[0]}}'), "x: tensor w needs two valid data_offsets"],
  ["a negative offset", raw(one("U8", "[1]", -1, 0)), "x: tensor w needs two valid data_offsets"],
  [
    "offsets that do not fit the shape",
    raw(one("F32", "[2,3]", 0, 20), zeros(20)),
    "x: tensor w takes 24 bytes as F32 (2, 3), but its data_offsets [0, 20] span 20",
  ],
  [
    "offsets in reverse",
    raw(one("U8", "[1]", 1, 0), zeros(1)),
    "x: tensor w takes 1 bytes as U8 (1), but its data_offsets [1, 0] span -1",
  ],
  [
    "an overlap",
    raw(`{"a":${tensor("U8", "[4]", 0, 4)},"b":${tensor("U8", "[4]", 2, 6)}}`, zeros(6)),
    "x: tensor b begins at data byte 2, inside a, which ends at 4",
  ],
  [
    "a hole",
    raw(`{"a":${tensor("U8", "[4]", 0, 4)},"b":${tensor("U8", "[4]", 6, 10)}}`, zeros(10)),
    "x: tensor b begins at data byte 6, but a ends at 4: a hole that belongs to no tensor",
  ],
  [
    "a hole at the beginning",
    raw(one("U8", "[1]", 3, 4), zeros(4)),
    "x: tensor w begins at data byte 3, but the header ends at 0: a hole that belongs to no tensor",
  ],
  [
    "trailing bytes",
    raw(one("U8", "[4]", 0, 4), zeros(9)),
    "x has 5 trailing bytes: its last tensor ends at byte 65, the file at byte 70",
  ],
  [
    "data cut short",
    raw(one("U8", "[9]", 0, 9), zeros(4)),
    "x is cut short: tensor w ends at byte 70, the file at byte 65 of 70",
  ],
  [
    "a name that is no Unicode",
    raw(`{"\\ud800":${tensor("U8", "[]", 0, 1)}}`, zeros(1)),
    'x: tensor "\\ud800" has a name that is not valid Unicode',
  ],
  [
    "a name that would move the cursor",
    raw('{"\\u001b[2Jw":1}'),
    'x: tensor "\\u001b[2Jw" is not described by an object',
  ],
];

describe("hostile headers", () => {
  test.each(HOSTILE)("%s", async (_, file, message) => {
    const error = await refusal(() => parseFile(file, "x"));
    expect(error.message).toBe(message);
    expect(error.hint).toBeString();
    expect(error.exitCode).toBe(2);
  });

  test("a header of ten million brackets is refused within a second", async () => {
    const started = performance.now();
    await refusal(() => parseFile(raw(`{"w":${"[".repeat(10_000_000)}`), "x"));
    expect(performance.now() - started).toBeLessThan(HANG_MS);
  });

  test("a key of a million escaped quotes is read in linear time", async () => {
    const started = performance.now();
    await refusal(() => parseFile(raw(`{"${'\\"'.repeat(1_000_000)}":1}`), "x"));
    await refusal(() => parseFile(raw(`{"${"\\\\".repeat(1_000_000)}":1}`), "x"));
    expect(performance.now() - started).toBeLessThan(HANG_MS);
  });
});

describe("types of less than a byte", () => {
  test("a tensor fills whole bytes", async () => {
    for (const [dtype, shape, fills] of [
      ["F4", "[3]", "1.5"],
      ["F6_E2M3", "[2,3]", "4.5"],
      ["F6_E3M2", "[]", "0.75"],
    ] as const) {
      const error = await refusal(() => parseFile(raw(`{"w":${tensor(dtype, shape, 0, 2)}}`, zeros(2)), "x"));
      expect(error.message).toContain(`fills ${fills} bytes as ${dtype}`);
    }
    expect(parseFile(raw(`{"w":${tensor("F4", "[2,3]", 0, 3)}}`, zeros(3)), "x").tensors[0]!.bytes).toBe(3);
  });

  test("a shape beyond exact numbers is refused", async () => {
    const shape = "[9007199254740991,4]";
    const error = await refusal(() => parseFile(raw(`{"w":${tensor("F4", shape, 0, 1)}}`, zeros(1)), "x"));
    expect(error.message).toContain("more than 2^53 bytes");
  });
});

describe("what is read", () => {
  test("every dtype, scalars and empty tensors, in the order of their bytes", () => {
    const specs = Object.fromEntries(
      (Object.keys(DTYPE_BYTES) as Dtype[]).flatMap((dtype): [string, [Dtype, number[]]][] => [
        [`${dtype}.scalar`, [dtype, DTYPE_BYTES[dtype] < 1 ? [4] : []]],
        [`${dtype}.empty`, [dtype, [0, 3]]],
        [`${dtype}.matrix`, [dtype, [4, 3]]],
      ]),
    );
    const made = make(specs);
    const header = parseFile(fileOf(made), "x");
    expect(header.tensors.map(({ begin: _, ...info }) => info)).toEqual(made.map(({ data: _, ...info }) => info));
    expect(header.dataBytes).toBe(made.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  test("order is that of the bytes, not of the text, and names may be numbers or __proto__", () => {
    const text = `{"__proto__":${tensor("U8", "[2]", 3, 5)},"10":${tensor("U8", "[1]", 0, 1)},"2":${tensor("U8", "[2]", 1, 3)}}`;
    const { tensors } = parseFile(raw(text, zeros(5)), "x");
    expect(tensors.map(({ name, begin }) => [name, begin])).toEqual([
      ["10", 0],
      ["2", 1],
      ["__proto__", 3],
    ]);
  });

  test("empty tensors between others, spaces after the JSON, keys of later versions, no tensors at all", () => {
    const text = `{"a":${tensor("U8", "[1]", 0, 1)},"e":${tensor("F32", "[0]", 1, 1)},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2],"later":{"x":[1]}}}   `;
    expect(parseFile(raw(text, zeros(2)), "x").tensors.map(({ name }) => name)).toEqual(["a", "e", "b"]);
    expect(parseFile(raw("{}"), "x").tensors).toEqual([]);
  });

  test("metadata, with any key", () => {
    const { metadata } = parseFile(raw('{"__metadata__":{"format":"pt","__proto__":"x","constructor":"y"}}'), "x");
    expect([...metadata]).toEqual([
      ["format", "pt"],
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });

  test("the digest is that of the JSON", () => {
    const json = new TextEncoder().encode(one("U8", "[1]", 0, 1));
    expect(parseHeader(json, "x").sha256).toBe(createHash("sha256").update(json).digest("hex"));
  });

  test("a header of exactly the limit is not refused for its length", () => {
    expect(headerLength(raw("", zeros(0), BigInt(MAX_HEADER_BYTES)), "x")).toBe(MAX_HEADER_BYTES);
  });
});

describe("what is written", () => {
  test("metadata first, tensors in order, offsets contiguous, padded to 8 bytes, readable by others", () => {
    const [first, ...rest] = make({ "b.weight": ["BF16", [3, 5]], 'a"\\\n': ["I64", [0, 3]], z: ["U8", [7]] });
    const made = [first!, ...make({ 10: ["F32", []] }), ...rest]; // an object would put "10" first
    const header = encodeHeader(made, new Map([["format", "pt"]]));
    const file = Buffer.concat([header, ...made.map(({ data }) => data)]);
    expect(new TextDecoder().decode(header.subarray(8))).toStartWith(
      '{"__metadata__":{"format":"pt"},"b.weight":{"dtype":"BF16","shape":[3,5],"data_offsets":[0,30]},"10":',
    );
    const parsed = parseFile(file, "x");
    expect(parsed.tensors.map(({ begin: _, ...info }) => info)).toEqual(made.map(({ data: _, ...info }) => info));
    // The independent reader uses JSON.parse, which puts "10" first: it gets a file without.
    const plain = made.filter(({ name }) => name !== "10");
    const other = readIndependently(Buffer.concat([encodeHeader(plain, new Map()), ...plain.map(({ data }) => data)]));
    for (const { name, data } of plain) expect([...other.tensors.get(name)!.data]).toEqual([...data]);
  });

  test("a name twice, or that of the metadata, is a mistake of the caller", () => {
    const [w] = make({ w: ["U8", [1]] });
    expect(() => encodeHeader([w!, w!], new Map())).toThrow("tensor name w is invalid or repeated");
    expect(() => encodeHeader([{ ...w!, name: "__metadata__" }], new Map())).toThrow(RangeError);
  });

  test("a header no reader accepts is refused", async () => {
    const error = await refusal(() => encodeHeader([], new Map([["tokenizer.json", "x".repeat(MAX_HEADER_BYTES)]])));
    expect(error.message).toMatch(/^The header would take 100,000,0\d\d bytes; readers accept 100,000,000$/);
  });
});
