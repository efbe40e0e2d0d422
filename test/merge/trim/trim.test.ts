/** Vocabularies that are trimmed by texts: every kind of tokenizer cuts the texts as before. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import { countTokens, vocabularyOf } from "../../../src/data/vocabulary.ts";
import { MergePaths } from "../../../src/merge/trim/merge-paths.ts";
import { planTrim, type TrimOptions, trimTables } from "../../../src/merge/trim/trim.ts";
import { nameModels } from "../../../src/model/names.ts";
import { randomWords } from "../../support/random.ts";
import { checkpoint } from "../plan/fixtures.ts";

const GOLDEN = join(import.meta.dir, "../../golden/tokenizer");
const filesOf = (name: string): Record<string, unknown> =>
  Object.fromEntries(
    ["tokenizer.json", "tokenizer_config.json"]
      .filter((file) => existsSync(join(GOLDEN, name, file)))
      .map((file) => [file, readFileSync(join(GOLDEN, name, file), "utf8")]),
  );
const textsOf = (name: string): string[] =>
  (JSON.parse(readFileSync(join(GOLDEN, name, "cases.json"), "utf8")).cases as { text: string }[]).map(
    ({ text }) => text,
  );

const WORDS = [
  "the",
  "cat",
  "##s",
  "##c",
  "ab",
  "##d",
  "sat",
  "##at",
  "c",
  "a",
  "##b",
  "s",
  ",",
  "[UNK]",
  "[CLS]",
  "[SEP]",
];
const vocabOf = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));
const WORD_PIECE = {
  pre_tokenizer: { type: "BertPreTokenizer" },
  added_tokens: [13, 14, 15].map((id) => ({ id, content: WORDS[id], special: true })),
  post_processor: { type: "BertProcessing", sep: ["[SEP]", 15], cls: ["[CLS]", 14] },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: vocabOf(WORDS),
  },
};
const WORD_LEVEL = {
  pre_tokenizer: { type: "WhitespaceSplit" },
  added_tokens: [{ id: 9, content: "<eos>", special: true }],
  model: {
    type: "WordLevel",
    unk_token: "<unk>",
    vocab: vocabOf(["zero", "one", "two", "three", "<unk>", "__proto__"]),
  },
};

interface Kind {
  readonly files: Record<string, unknown>;
  readonly texts: readonly string[];
}
const KINDS: Record<string, Kind> = {
  ...Object.fromEntries(
    ["gpt2", "llama3", "spm-bpe", "unigram"].map((name) => [name, { files: filesOf(name), texts: textsOf(name) }]),
  ),
  wordpiece: { files: { "tokenizer.json": WORD_PIECE }, texts: ["the cats sat", "cat, cat", "abd", "the xyz"] },
  wordlevel: { files: { "tokenizer.json": WORD_LEVEL }, texts: ["one two", "two seven", "__proto__ one<eos>"] },
};

/** A model of tables that have their ids as values. */
function modelOf(files: Record<string, unknown>, config: object = {}): Checkpoint {
  const made = checkpoint("it", {}, { "config.json": { vocab_size: 0, ...config }, ...files });
  const rows = countTokens(vocabularyOf(made)!) + 3;
  const data = new Uint8Array(Float32Array.from({ length: 2 * rows }, (_, i) => i).buffer);
  const entry = (name: string) => ({
    ...{ name, dtype: "F32" as const, shape: [rows, 2], bytes: data.length },
    read: async (into: Uint8Array, offset: number) => into.set(data.subarray(offset, offset + into.length)),
  });
  const names = ["model.embed_tokens.weight", "lm_head.weight"];
  return { ...made, tensors: new Map(names.map((name) => [name, entry(name)])) };
}

async function trimmed(source: Checkpoint, texts: readonly string[], options: Partial<TrimOptions> = {}) {
  const model = nameModels(new Map([["it", source]]), "it", []).get("it")!;
  const before = await loadTokenizer(source.files, "before");
  const counts = new Map<number, number>();
  for (const id of texts.flatMap((text) => [...before.encode(text)])) counts.set(id, (counts.get(id) ?? 0) + 1);
  const plan = planTrim(model, counts, before, { minCount: 1, padTo: 1, keep: [], ...options });
  return { plan, before, after: await loadTokenizer(plan.files, "after") };
}

/** The ids that a text had, by those that it has now. */
const ids = (tokenizer: Tokenizer, text: string, old?: readonly number[]) =>
  [...tokenizer.encode(text, { special: true })].map((id) => old?.[id] ?? id);

describe.each(Object.entries(KINDS))("%s", (_, { files, texts }) => {
  test("cuts the texts as before, with fewer tokens, each at the row that it had", async () => {
    const source = modelOf(files);
    for (const part of [texts, texts.filter((_, i) => i % 3 === 0), texts.slice(0, 1)]) {
      const { plan, before, after } = await trimmed(source, part);
      for (const text of part) {
        expect([text, ids(after, text, plan.old)]).toEqual([text, ids(before, text)]);
        expect(after.decode(after.encode(text))).toBe(before.decode(before.encode(text)));
      }
      const [whole, own] = [vocabularyOf(source)!, vocabularyOf(plan)!];
      expect(own.size).toBeLessThan(whole.size + Number(part === texts));
      for (const [token, id] of own) expect([token, plan.old[id]!]).toEqual([token, whole.get(token)!]);
      expect(new Set(own.values()).size).toBe(plan.rows);
      const table = (await trimTables(plan)).get("lm_head.weight")!;
      const bytes = new Uint8Array(table.bytes);
      await table.read(bytes, 0);
      expect([...new Float32Array(bytes.buffer)]).toEqual(plan.old.flatMap((id) => [2 * id, 2 * id + 1]));
    }
  });

  test("tokens on a list stay, also those that no text has", async () => {
    const source = modelOf(files);
    const word = randomWords(5);
    const all = [...vocabularyOf(source)!.keys()];
    const keep = Array.from({ length: 6 }, () => all[word() % all.length]!);
    const { plan } = await trimmed(source, [], { keep });
    for (const token of keep) expect(vocabularyOf(plan)!.has(token)).toBe(true);
  });
});

test("a text that nobody has seen is spelled by what is left: bytes, characters, or the unknown token", async () => {
  for (const [name, kind] of Object.entries(KINDS)) {
    const { after, before } = await trimmed(modelOf(kind.files), kind.texts.slice(0, 1));
    const text = "Quite another text, of 7 words.";
    const cut = [...after.encode(text)];
    expect(cut.length).toBeGreaterThan(0);
    if (name === "gpt2" || name === "llama3") expect(after.decode(cut)).toBe(before.decode(before.encode(text)));
  }
});

test("rare tokens are spelled by smaller ones, down to characters", async () => {
  const vocab = [
    ["<unk>", 0],
    ["▁", -2],
    ["▁ab", -3],
    ["a", -5],
    ["b", -5],
    ["▁ba", -4],
    ["▁a", -9],
  ];
  const file = {
    pre_tokenizer: { type: "Metaspace" },
    decoder: { type: "Metaspace" },
    model: { type: "Unigram", unk_id: 0, vocab },
  };
  const source = modelOf({ "tokenizer.json": file });
  const { plan, after } = await trimmed(source, ["ab ab ba"], { minCount: 2 });
  expect([...vocabularyOf(plan)!.keys()]).toEqual(["<unk>", "▁", "▁ab", "a", "b", "▁a"]); // ▁a has the least score
  expect([...after.encode("ba")].map((id) => plan.old[id]!)).toEqual([1, 4, 3]);
  expect(plan.kept.counts).toEqual({ used: 1, special: 2, bytes: 0, merges: 0, characters: 3 });
});

test("ids follow in configs, post-processors, lists of added tokens and of tokens that are not written", async () => {
  const config = { eos_token_id: [15, 13], pad_token_id: 14, suppress_tokens: [1, 0, 12], bad_words_ids: [[3]] };
  const tokenizer = {
    added_tokens_decoder: { 13: { content: "[UNK]" }, 14: { content: "[CLS]" }, 15: { content: "[SEP]" } },
  };
  const files = { "tokenizer.json": WORD_PIECE, "tokenizer_config.json": tokenizer, "vocab.txt": "the" };
  const { plan } = await trimmed(modelOf(files, config), ["cat"], { padTo: 8 });
  const json = (name: string) => JSON.parse(new TextDecoder().decode(plan.files.get(name)));
  expect(json("config.json")).toEqual({
    vocab_size: 8,
    eos_token_id: [3, 1],
    pad_token_id: 2,
    suppress_tokens: [0],
    bad_words_ids: [[3]],
  });
  expect(json("tokenizer.json").model.vocab).toEqual({ cat: 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3 });
  expect(json("tokenizer.json").post_processor).toEqual({
    type: "BertProcessing",
    sep: ["[SEP]", 3],
    cls: ["[CLS]", 2],
  });
  expect(Object.keys(json("tokenizer_config.json").added_tokens_decoder)).toEqual(["1", "2", "3"]);
  expect(plan.warnings).toEqual([
    "vocab.txt of it have all tokens and are left out",
    "config.json: bad_words_ids names tokens by their old ids; look at it",
  ]);
  const table = (await trimTables(plan)).get("model.embed_tokens.weight")!;
  const last = new Uint8Array(8);
  await table.read(last, 7 * 8);
  expect([...new Float32Array(last.buffer)]).toEqual([(2 * (1 + 13 + 14 + 15)) / 4, (2 * 43) / 4 + 1]);
});

test("the way to a token is that of its merges in their order", () => {
  const paths = new MergePaths(["a b", "b c", "ab c", "a bc", "c d"]);
  expect([...paths.formed("abc")]).toEqual(["a", "b", "c", "ab", "abc"]);
  expect([...paths.formed("bcd")]).toEqual(["b", "c", "d", "bc"]);
  expect([...new MergePaths([["a", "b</w>"]], "</w>").formed("ab</w>")]).toEqual(["a", "b</w>", "ab</w>"]);
});

test("a damaged tokenizer and one of another kind are refused by name", async () => {
  const refused = async (model: object) => {
    const source = modelOf({ "tokenizer.json": { model: { vocab: { a: 0 }, ...model } } });
    const named = nameModels(new Map([["it", source]]), "it", []).get("it")!;
    const none = await loadTokenizer(modelOf(KINDS.wordlevel!.files).files, "none");
    return () => planTrim(named, new Map(), none, { minCount: 1, padTo: 1, keep: [] });
  };
  expect(await refused({ type: "Funnel" })).toThrow('it: tokenizer.json: the model "Funnel" is not known');
  expect(await refused({ type: "BPE", merges: ["ab"] })).toThrow('"ab" is no merge of two tokens');
  expect(await refused({ type: "WordLevel", vocab: { a: 0, b: -1 } })).toThrow('the id of "b" is -1');
  expect(await refused({ type: "Unigram", vocab: [["a"]] })).toThrow("piece 0 has no text or no score");
});
