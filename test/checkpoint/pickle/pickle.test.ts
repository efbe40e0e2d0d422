/** PyTorch's files of tensors, read in place: views, dtypes, nested checkpoints, folders, archives of all kinds. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { UserError } from "../../../src/errors.ts";
import { bytesOf, inFolder } from "../sample.ts";
import { dict, global, int, ops, pickled, storage, str, tensor, torchFile, tuple, zipOf } from "./fixture.ts";

/**
 * What CPython's own pickler (protocol 2) writes for an OrderedDict of two tied tensors, a parameter and a bf16 tensor,
 * with the _metadata of a module; and for the same under "state_dict" of a training checkpoint.
 */
const CPYTHON = {
  plain:
    "gAJjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQApUnEBKFgMAAAAZW1iZWQud2VpZ2h0cQJjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxAygoWAcAAABzdG9yYWdlcQRjdG9yY2gKRmxvYXRTdG9yYWdlCnEFWAEAAAAwcQZYAwAAAGNwdXEHSwx0cQhRSwBLA0sEhnEJSwRLAYZxColoAClScQt0cQxScQ1YCwAAAGhlYWQud2VpZ2h0cQ5oAygoaARoBWgGaAdLDHRxD1FLAGgJaAqJaAApUnEQdHERUnESWAQAAABwYXJ0cRNjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3BhcmFtZXRlcgpxFGgDKChoBGgFaAZoB0sMdHEVUUsESwSFcRZLAYVxF4loAClScRh0cRlScRqIaAApUnEbh3EcUnEdWAIAAABiZnEeaAMoKGgEY3RvcmNoCkJGbG9hdDE2U3RvcmFnZQpxH1gBAAAAMXEgaAdLAnRxIVFLAEsChXEiaBeJaAApUnEjdHEkUnEldX1xJlgJAAAAX21ldGFkYXRhcSdoAClScSgoWAAAAABxKX1xKlgHAAAAdmVyc2lvbnErSwFzWAUAAABlbWJlZHEsfXEtaCtLAXN1c2Iu",
  nested:
    "gAJ9cQAoWAUAAABlcG9jaHEBSwNYAgAAAGxycQJHP1BiTdLxqfxYCgAAAHN0YXRlX2RpY3RxA2Njb2xsZWN0aW9ucwpPcmRlcmVkRGljdApxBClScQUoWAwAAABlbWJlZC53ZWlnaHRxBmN0b3JjaC5fdXRpbHMKX3JlYnVpbGRfdGVuc29yX3YyCnEHKChYBwAAAHN0b3JhZ2VxCGN0b3JjaApGbG9hdFN0b3JhZ2UKcQlYAQAAADBxClgDAAAAY3B1cQtLDHRxDFFLAEsDSwSGcQ1LBEsBhnEOiWgEKVJxD3RxEFJxEVgLAAAAaGVhZC53ZWlnaHRxEmgHKChoCGgJaApoC0sMdHETUUsAaA1oDoloBClScRR0cRVScRZYBAAAAHBhcnRxF2N0b3JjaC5fdXRpbHMKX3JlYnVpbGRfcGFyYW1ldGVyCnEYaAcoKGgIaAloCmgLSwx0cRlRSwRLBIVxGksBhXEbiWgEKVJxHHRxHVJxHohoBClScR+HcSBScSFYAgAAAGJmcSJoBygoaAhjdG9yY2gKQkZsb2F0MTZTdG9yYWdlCnEjWAEAAAAxcSRoC0sCdHElUUsASwKFcSZoG4loBClScSd0cShScSl1fXEqWAkAAABfbWV0YWRhdGFxK2gEKVJxLChYAAAAAHEtfXEuWAcAAAB2ZXJzaW9ucS9LAXNYBQAAAGVtYmVkcTB9cTFoL0sBc3VzYlgEAAAAYXJnc3EyTnUu",
};
const TWELVE = new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i).buffer);
const BF16 = Uint8Array.of(0x80, 0x3f, 0x00, 0x40); // 1, 2

async function withFile<T>(bytes: Uint8Array, body: (file: string) => Promise<T>): Promise<T> {
  return inFolder(async (folder) => {
    const file = path.join(folder, "x.bin");
    fs.writeFileSync(file, bytes);
    return body(file);
  });
}

async function contentsOf(checkpoint: Checkpoint): Promise<Record<string, [string, readonly number[], number[]]>> {
  const found: Record<string, [string, readonly number[], number[]]> = {};
  for (const [name, entry] of checkpoint.tensors) {
    const bytes = await bytesOf(entry);
    const values = entry.dtype.startsWith("F") || entry.dtype === "BF16" ? decodeFloats(bytes, entry.dtype) : bytes;
    found[name] = [entry.dtype, entry.shape, [...values]];
  }
  checkpoint.close();
  return found;
}

/** What a file holds, and what was told of it. */
const read = (bytes: Uint8Array) =>
  withFile(bytes, async (file) => {
    const told: string[] = [];
    const tensors = await contentsOf(
      await open(file, { warn: (message) => told.push(message.replace(file, "x.bin")) }),
    );
    return { tensors, told };
  });

const refusal = (bytes: Uint8Array) =>
  withFile(bytes, async (file) => {
    const error = await open(file).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof UserError)) throw error ?? new Error("it was read");
    return error.message.replace(file, "x.bin");
  });

const rows = Array.from({ length: 12 }, (_, i) => i);
const WHOLE = {
  "embed.weight": ["F32", [3, 4], rows],
  "head.weight": ["F32", [3, 4], rows],
  part: ["F32", [4], [4, 5, 6, 7]],
  bf: ["BF16", [2], [1, 2]],
};

describe("what CPython's pickler writes", () => {
  const file = (which: keyof typeof CPYTHON, options = {}) =>
    torchFile(Buffer.from(CPYTHON[which], "base64"), { 0: TWELVE, 1: BF16 }, options);

  test("a state dict with tied tensors, a part of a storage and a parameter", async () => {
    expect(await read(file("plain"))).toEqual({ tensors: WHOLE as never, told: [] });
  });

  test("the state dict inside a training checkpoint, which is told", async () => {
    expect(await read(file("nested"))).toEqual({
      tensors: WHOLE as never,
      told: ["x.bin: took the tensors under state_dict; left out: epoch, lr, args"],
    });
  });

  test("in an archive with zip64 sizes, and with padding before the storages", async () => {
    const departures = { "archive/data/0": { padding: 60 } };
    expect((await read(file("plain", { zip64: true }))).tensors).toEqual(WHOLE as never);
    expect((await read(file("plain", { departures }))).tensors).toEqual(WHOLE as never);
  });

  test("in a folder, alone or with an index", () =>
    inFolder(async (folder) => {
      const config = path.join(folder, "config.json");
      fs.writeFileSync(config, "{}");
      fs.writeFileSync(path.join(folder, "pytorch_model.bin"), file("plain"));
      const opened = await open(folder);
      expect([opened.kind, [...opened.files.keys()]]).toEqual(["folder", ["config.json"]]);
      expect(await contentsOf(opened)).toEqual(WHOLE as never);

      fs.rmSync(path.join(folder, "pytorch_model.bin"));
      const [one, two] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
      const shard = (name: string) =>
        torchFile(pickled(dict({ [name]: tensor({ key: "0", elements: 12, shape: [12] }) })), { 0: TWELVE });
      fs.writeFileSync(path.join(folder, one), shard("a"));
      fs.writeFileSync(path.join(folder, two), shard("b"));
      const write = (map: Record<string, string>) =>
        fs.writeFileSync(path.join(folder, "pytorch_model.bin.index.json"), JSON.stringify({ weight_map: map }));
      write({ a: one, b: two });
      expect(Object.keys(await contentsOf(await open(folder)))).toEqual(["a", "b"]);
      for (const [map, message] of [
        [{ a: one, b: one }, "of the index is in none of its files"],
        [{ a: one, c: two }, "which the index lacks"],
        [{ a: two, b: two }, "holds tensor b"],
        [{ a: one, b: "../x.bin" }, "which is not a bin file inside the folder"],
      ] as [Record<string, string>, string][]) {
        write(map);
        const error = await open(folder).catch((thrown) => thrown);
        expect(error).toBeInstanceOf(UserError);
        if (map.a === two) continue; // the first of two complaints is as good
        expect(error.message).toContain(message);
      }
    }));
});

test("every class of storage, untyped bytes, empty and single tensors", async () => {
  const v3 = ops(
    global("torch._utils", "_rebuild_tensor_v3"),
    tuple(
      storage({ key: "0", type: "UntypedStorage", elements: 48, shape: [] }),
      int(2),
      tuple(int(3)),
      tuple(int(1)),
      ops(0x89),
      ops("}"),
      global("torch", "float8_e4m3fn"),
    ),
    "R",
  );
  const types = [
    "DoubleStorage",
    "HalfStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
  ];
  const views = Object.fromEntries(
    [...types, "BoolStorage"].map((type) => [
      type,
      tensor({ key: "0", type, elements: 6, shape: [2, 1, 3], offset: 0 }),
    ]),
  );
  const { tensors } = await read(
    torchFile(
      pickled(
        dict({
          ...views,
          v3,
          none: tensor({ key: "0", elements: 12, shape: [0, 5], strides: [7, 7] }),
          one: tensor({ key: "0", elements: 12, shape: [], offset: 11 }),
          odd: tensor({ key: "0", elements: 12, shape: [1, 4, 1], strides: [99, 1, 77], offset: 8 }),
        }),
      ),
      { 0: TWELVE },
    ),
  );
  expect(Object.entries(tensors).map(([name, [dtype, shape]]) => [name, dtype, shape])).toEqual([
    ["DoubleStorage", "F64", [2, 1, 3]],
    ["HalfStorage", "F16", [2, 1, 3]],
    ["LongStorage", "I64", [2, 1, 3]],
    ["IntStorage", "I32", [2, 1, 3]],
    ["ShortStorage", "I16", [2, 1, 3]],
    ["CharStorage", "I8", [2, 1, 3]],
    ["ByteStorage", "U8", [2, 1, 3]],
    ["BoolStorage", "BOOL", [2, 1, 3]],
    ["v3", "F8_E4M3", [3]],
    ["none", "F32", [0, 5]],
    ["one", "F32", []],
    ["odd", "F32", [1, 4, 1]],
  ]);
  expect(tensors.one![2]).toEqual([11]);
  expect(tensors.odd![2]).toEqual([8, 9, 10, 11]);
});

describe("refused", () => {
  const one = { key: "0", elements: 12, shape: [12] };
  const file = (root: Uint8Array, options = {}) => torchFile(pickled(root), { 0: TWELVE }, options);

  test("views with steps, tensors outside their storage, storages that are not there", async () => {
    const views: [Parameters<typeof tensor>[0], string][] = [
      [
        { ...one, shape: [12], strides: [0] },
        "x.bin: tensor w shows elements of its storage several times: steps (0) for shape (12)",
      ],
      [{ ...one, shape: [4, 3], strides: [1, 5] }, "x.bin: tensor w ends after its storage, which has 48 bytes"],
      [
        { ...one, shape: [4, 3], strides: [1, 4], offset: 1 },
        "x.bin: tensor w ends after its storage, which has 48 bytes",
      ],
      [{ ...one, offset: 1 }, "x.bin: tensor w ends after its storage, which has 48 bytes"],
      [
        { ...one, shape: [2 ** 30, 2 ** 15], strides: [2 ** 15, 1] },
        "x.bin: tensor w ends after its storage, which has 48 bytes",
      ],
      [{ ...one, key: "7" }, "x.bin: tensor w is in data/7, which the file does not have"],
    ];
    for (const [view, message] of views) expect(await refusal(file(dict({ w: tensor(view) })))).toBe(message);
  });

  test("no tensors, several sets of them, names that are not text", async () => {
    const w = dict({ w: tensor(one) });
    expect(await refusal(file(dict({ epoch: int(3) })))).toBe("x.bin holds no tensors");
    expect(await refusal(file(tensor(one)))).toBe("x.bin does not hold a dict of tensors");
    expect(await refusal(file(dict({ student: w, teacher: w })))).toBe(
      "x.bin holds tensors in several places: student, teacher",
    );
    expect((await read(file(dict({ teacher: w, model: w })))).told).toEqual([
      "x.bin: took the tensors under model; left out: teacher",
    ]);
    expect(await refusal(file(ops("}(", int(1), tensor(one), "u")))).toBe(
      "x.bin: a tensor has a name that is not text",
    );
  });

  test("archives that are compressed, encrypted, big-endian, cut short, or no tensors", async () => {
    const w = dict({ w: tensor(one) });
    const departs = (departure: object) => file(w, { departures: { "archive/data/0": departure } });
    expect(await refusal(departs({ method: 8 }))).toBe("x.bin: archive/data/0 is compressed (method 8)");
    expect(await refusal(departs({ flags: 1 }))).toBe("x.bin: archive/data/0 is encrypted");
    expect(await refusal(file(w, { order: "big" }))).toBe("x.bin is big-endian, expected little-endian");
    expect(await refusal(zipOf({ "a/b": TWELVE }))).toBe("x.bin is a zip file with 0 entries data.pkl");
    expect(await refusal(zipOf({ "a/data.pkl": TWELVE, "a/constants.pkl": TWELVE }))).toBe(
      "x.bin is a TorchScript program, not a file of tensors",
    );
    const good = file(w);
    for (let length = 4; length < good.length; length += 13) await refusal(good.slice(0, length));
  });

  test("the layout before PyTorch 1.6, and pickles without an archive", async () => {
    const old = ops(0x80, 2, 0x8a, 10, [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], ".");
    expect(await refusal(old)).toStartWith("x.bin is a PyTorch file in the layout before 1.6");
    expect(await refusal(pickled(dict({ a: str("b") })))).toStartWith("x.bin is a pickle file");
  });
});
