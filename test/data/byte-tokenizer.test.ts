/** The embedded tokenizer: loses nothing, streams whole characters, is saved as other tools expect. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";

const tokenizer = byteTokenizer();
const anyText = fc.oneof(fc.string({ unit: "binary", maxLength: 60 }), fc.string({ unit: "grapheme", maxLength: 60 }));
const withSpecial = fc
  .array(fc.oneof(anyText, fc.constantFrom("<eos>", "<bos>", "<pad>", "<eos", "<<eos>>", "\ufeff")), { maxLength: 6 })
  .map((parts) => parts.join(""));

test("decoding returns any text", () => {
  fc.assert(fc.property(withSpecial, (text) => expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)));
});

test("any bytes are tokens of their own values, and decode as UTF-8 does", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const ids = tokenizer.encodeBytes(bytes);
      expect(Uint8Array.from(ids)).toEqual(bytes);
      expect(tokenizer.decode(ids)).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
    }),
  );
});

test("a stream gives the same text, and no part of a character before its end", () => {
  fc.assert(
    fc.property(withSpecial, (text) => {
      const decoder = tokenizer.decoder();
      const parts = Array.from(tokenizer.encode(text), (id) => decoder.push(id));
      expect(parts.join("") + decoder.end()).toBe(text);
      if (!text.includes("\ufffd")) expect(parts.join("")).not.toContain("\ufffd");
    }),
  );
  const decoder = tokenizer.decoder();
  expect([0xf0, 0x9f, 0x98, 0x80].map((id) => decoder.push(id))).toEqual(["", "", "", "😀"]);
  decoder.push(0xf0);
  expect(decoder.end()).toBe("\ufffd");
});

test("special tokens", () => {
  expect([...tokenizer.encode("a<eos>é")]).toEqual([97, 258, 0xc3, 0xa9]);
  expect(tokenizer.decode([97, 258, 98], { skipSpecial: true })).toBe("ab");
  expect(tokenizer.idOf("<bos>")).toBe(tokenizer.bos!);
  expect(tokenizer.idOf("Ġ")).toBe(32);
  expect(tokenizer.idOf("<unk>")).toBeUndefined();
  // A model's vocabulary may be padded.
  expect(tokenizer.decode([97, 259, 98])).toBe("ab");
  expect(tokenizer.decode([0xc3, 263, 0xa9])).toBe("é");
});

test("the files are the same every time and describe byte-level BPE without merges", () => {
  const text = (name: string) => new TextDecoder().decode(tokenizer.files.get(name));
  expect([...byteTokenizer().files]).toEqual([...tokenizer.files]);
  const { model, added_tokens, pre_tokenizer, decoder } = JSON.parse(text("tokenizer.json"));
  expect(Object.keys(model.vocab)).toHaveLength(256);
  expect(new Set(Object.values(model.vocab)).size).toBe(256);
  expect([model.type, model.merges, pre_tokenizer.type, decoder.type]).toEqual(["BPE", [], "ByteLevel", "ByteLevel"]);
  // Spot checks of GPT-2's map from bytes to characters.
  const shown = ["!", "Ġ", "Ċ", "Ń", "ÿ"].map((character) => model.vocab[character]);
  expect(shown).toEqual([33, 32, 10, 173, 255]);
  expect(added_tokens.map(({ id, content }: { id: number; content: string }) => [id, content])).toEqual([
    [256, "<pad>"],
    [257, "<bos>"],
    [258, "<eos>"],
  ]);
  expect(JSON.parse(text("special_tokens_map.json"))).toEqual({
    bos_token: "<bos>",
    eos_token: "<eos>",
    pad_token: "<pad>",
  });
});
