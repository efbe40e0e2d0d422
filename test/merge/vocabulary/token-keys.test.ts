/** What tokens of other vocabularies mean. */
import { expect, test } from "bun:test";
import { byteKey, keyedVocabulary, prefixKeys } from "../../../src/merge/vocabulary/token-keys.ts";

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

function keysOf(file: object, config: object = {}): Record<string, readonly string[]> {
  const files = new Map([
    ["tokenizer.json", text(file)],
    ["tokenizer_config.json", text(config)],
  ]);
  const { tokens } = keyedVocabulary({ files, ref: "it" })!;
  return Object.fromEntries(tokens.map(({ token, keys }) => [token, keys]));
}

const vocabOf = (...tokens: string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

test("a byte-level vocabulary spells texts, parts of characters, and added tokens as they are", () => {
  const file = {
    pre_tokenizer: { type: "ByteLevel" },
    added_tokens: [
      { id: 6, content: "Ġx" },
      { id: 7, content: "</s>" },
    ],
    model: { type: "BPE", vocab: vocabOf("Ġthe", "ing", "Ã©", "Ã", "âĤ", "Ġ"), merges: [] },
  };
  expect(keysOf(file, { eos_token: "</s>", pad_token: { content: "</s>" } })).toEqual({
    Ġthe: ["word:the"],
    ing: ["text:ing"],
    "Ã©": ["text:é"],
    Ã: ["part:C3"],
    âĤ: ["parts:E282"],
    Ġ: ["word:"],
    Ġx: ["text:Ġx"],
    "</s>": ["role:eos_token", "role:pad_token"],
  });
});

test("word marks and continuing marks mean the same", () => {
  const marks = {
    decoder: { type: "Metaspace" },
    model: {
      type: "Unigram",
      vocab: [
        ["<unk>", 0],
        ["▁the", 0],
        ["▁▁", 0],
        ["<0x0a>", 0],
      ],
    },
  };
  expect(keysOf(marks, { unk_token: "<unk>" })).toEqual({
    "<unk>": ["role:unk_token"],
    "▁the": ["word:the"],
    "▁▁": ["word: "],
    "<0x0a>": ["byte:0A"],
  });
  const pieces = { model: { type: "WordPiece", continuing_subword_prefix: "##", vocab: vocabOf("the", "##ing", ",") } };
  expect(keysOf(pieces)).toEqual({ the: ["word:the"], "##ing": ["text:ing"], ",": ["text:,"] });
});

test("bytes and beginnings", () => {
  expect(
    ["text:a", "word:", "word:a", "text:é", "part:C3", "byte:0A", "byte:20", "byte:C3", "role:bos_token"].map(byteKey),
  ).toEqual(["byte:61", "byte:20", undefined, undefined, "byte:C3", "text:\n", "word:", "part:C3", undefined]);
  expect([...prefixKeys("word:ab😀c")]).toEqual(["word:ab😀", "word:ab", "word:a"]);
  expect([...prefixKeys("text:  a")]).toEqual([]);
  expect([...prefixKeys("role:bos_token")]).toEqual([]);
});
