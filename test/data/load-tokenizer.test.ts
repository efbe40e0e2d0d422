/** Tokenizers of checkpoints: which one is chosen, what is said when there is none, and streams of text. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import { windowDecoder } from "../../src/data/tokenization/streams.ts";
import { library } from "../../src/library.ts";
import { installed, rejection } from "./support.ts";

const embedded = byteTokenizer();
const file = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test("the embedded tokenizer is known by its file, and keeps the files beside it", async () => {
  const files = new Map([...embedded.files, ["config.json", file({})], ["chat_template.jinja", file("x")]]);
  const tokenizer = await loadTokenizer(files, "m/");
  expect(tokenizer.name).toBe("byte-level");
  expect([...tokenizer.files.keys()].sort()).toEqual([...embedded.files.keys(), "chat_template.jinja"].sort());
});

test("says what is missing", async () => {
  expect((await rejection(loadTokenizer(new Map(), "m/"))).message).toBe("m/ has no tokenizer.json");
  const old = await rejection(loadTokenizer(new Map([["tokenizer.model", file(1)]]), "m/"));
  expect(old.message).toBe("m/ has only tokenizer.model");
  const absent = await rejection(library("@ingot/absent", "m/: its tokenizer"));
  expect(absent.message).toBe("m/: its tokenizer needs the package @ingot/absent, which is not installed");
  expect(absent.hint).toBe("run `bun install` in ingot's folder, without --production");
});

test("a damaged tokenizer.json is refused by name", async () => {
  const damaged = await rejection(loadTokenizer(new Map([["tokenizer.json", file([])]]), "m/"));
  expect(damaged.message).toBe("m/: tokenizer.json should be an object with a model");
});

/** Bytes to text with a leading space that is dropped at the start of a list, as SentencePiece decoders do. */
const decodeList = (ids: number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids)).replace(/^ /, "");

test("a window decoder gives what decoding the whole list gives", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (text) => {
      const ids = [...new TextEncoder().encode(text)];
      const decoder = windowDecoder(decodeList);
      const parts = ids.map((id) => decoder.push(id));
      expect(parts.join("") + decoder.end()).toBe(decodeList(ids));
    }),
  );
  const decoder = windowDecoder(decodeList);
  expect([0x61, 0xf0, 0x9f, 0x98, 0x80, 0xe2].map((id) => decoder.push(id))).toEqual(["a", "", "", "", "😀", ""]);
  expect(decoder.end()).toBe("\ufffd");
});

const tokenizers = await installed("@huggingface/tokenizers");

test.skipIf(!tokenizers)("the embedded tokenizer's file means the same to @huggingface/tokenizers", async () => {
  // Another key makes it another file, so that the library is used.
  const definition = JSON.parse(new TextDecoder().decode(embedded.files.get("tokenizer.json")));
  const files = new Map(embedded.files).set("tokenizer.json", file({ ...definition, note: "through the library" }));
  const tokenizer = await loadTokenizer(files, "m/");
  expect(tokenizer.name).toBe("m/");
  const { vocabSize, pad, bos, eos } = embedded;
  expect(tokenizer).toMatchObject({ vocabSize, pad, bos, eos });
  const part = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 30 }),
    fc.constantFrom("<eos>", "  ", "\n\n", "don't"),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const text = parts.join("");
      const ids = embedded.encode(text);
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(embedded.decode(ids, { skipSpecial: true }));
      const decoder = tokenizer.decoder();
      expect(Array.from(ids, (id) => decoder.push(id)).join("") + decoder.end()).toBe(text);
    }),
  );
});

test.skipIf(!tokenizers)("a tokenizer with merges and a leading special token", async () => {
  const definition = {
    added_tokens: [{ id: 4, content: "<s>", special: true }],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [4], tokens: ["<s>"] } },
    },
    decoder: { type: "Fuse" },
    model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2, c: 3 }, merges: [["a", "b"]], unk_token: null },
  };
  const files = new Map([
    ["tokenizer.json", file(definition)],
    ["tokenizer_config.json", file({ bos_token: "<s>" })],
  ]);
  const tokenizer = await loadTokenizer(files, "m/");
  expect([...tokenizer.encode("abcb")]).toEqual([2, 3, 1]);
  expect([...tokenizer.encode("abcb", { special: true })]).toEqual([4, 2, 3, 1]);
  expect(tokenizer.decode([4, 2, 3, 1], { skipSpecial: true })).toBe("abcb");
  expect([tokenizer.bos, tokenizer.eos, tokenizer.vocabSize]).toEqual([4, undefined, 5]);
});
