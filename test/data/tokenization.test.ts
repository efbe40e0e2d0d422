/** Kinds of tokenizer.json that no golden has, worked by hand after the rules of the library `tokenizers`. */
import { expect, test } from "bun:test";
import { loadTokenizer } from "../../src/data/load-tokenizer.ts";
import { encodePrompt } from "../../src/data/special-tokens.ts";
import type { JsonObject } from "../../src/json.ts";
import { installed, rejection } from "./support.ts";

const file = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const tokenizers = await installed("@huggingface/tokenizers");

/** A tokenizer of whole words, numbered in their order after the unknown token. */
const words = (list: readonly string[], parts: JsonObject = {}, config: JsonObject = {}, others: JsonObject = {}) =>
  load(
    {
      pre_tokenizer: { type: "Whitespace" },
      model: {
        type: "WordLevel",
        vocab: Object.fromEntries(["[UNK]", ...list].map((word, i) => [word, i])),
        unk_token: "[UNK]",
      },
      ...parts,
    },
    config,
    others,
  );

const load = (definition: JsonObject, config: JsonObject = {}, others: JsonObject = {}) =>
  loadTokenizer(
    new Map([
      ["tokenizer.json", file(definition)],
      ["tokenizer_config.json", file(config)],
      ...Object.entries(others).map(([name, value]) => [name, file(value)] as const),
    ]),
    "m/",
  );

const added = (id: number, content: string, rest: JsonObject = {}): JsonObject => ({ id, content, ...rest });

test.skipIf(!tokenizers)("Whitespace splits words of any script, and the rest", async () => {
  const tokenizer = await words(["naïve", "übung", "!", "日本", "?!", "_a1", "हिन्दी", "²"]);
  expect([...tokenizer.encode("naïve übung!日本 ?!\u0085_a1 हिन्दी ² other")]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0]);
  expect(tokenizer.decode([1, 3, 2])).toBe("naïve ! übung");
});

test.skipIf(!tokenizers)("spaces are cleaned up only where tokenizer_config.json says so", async () => {
  const list = ["it", "'s", "y", ".", ",", "'", "do", "n't"];
  const ids = [3, 4, 1, 2, 5, 7, 8, 3, 6, 3];
  const plain = await words(list);
  const clean = await words(list, {}, { clean_up_tokenization_spaces: true });
  expect(plain.decode(ids)).toBe("y . it 's , do n't y ' y");
  expect(clean.decode(ids)).toBe("y. it's, don't y'y");
  const stream = (await words(list, { decoder: { type: "WordPiece", cleanup: false } }, clean_up)).decoder();
  expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe("y. it's, don't y'y");
});
const clean_up: JsonObject = { clean_up_tokenization_spaces: true };

test.skipIf(!tokenizers)("added tokens: whole words, spaces beside them, the longest match", async () => {
  const tokenizer = await words(["a", "b", "running"], {
    added_tokens: [
      added(10, "run", { single_word: true, normalized: false }),
      added(11, "<m>", { lstrip: true, rstrip: true, normalized: false }),
      added(12, "<m><m>", { normalized: false }),
    ],
    pre_tokenizer: { type: "Split", pattern: { String: "|" }, behavior: "Removed", invert: false },
  });
  const whole = await words(["a", "b", "running", " a ", "a", "_run"], {
    added_tokens: [added(10, "run", { single_word: true, normalized: false })],
    pre_tokenizer: null,
  });
  expect([...tokenizer.encode("a  <m> \n b")]).toEqual([1, 11, 2]);
  expect([...tokenizer.encode("a<m><m><m>b")]).toEqual([1, 12, 11, 2]);
  expect([...tokenizer.encode("running|run")]).toEqual([3, 10]);
  expect([...whole.encode("run")]).toEqual([10]);
  expect([...whole.encode("_run")]).toEqual([6]);
  expect([...whole.encode("run a run")]).toEqual([10, 4, 10]);
});

test.skipIf(!tokenizers)("normalized tokens are found in the normalized text, others in the text itself", async () => {
  const tokenizer = await words(["no", "yes"], {
    added_tokens: [added(10, "Yes", { normalized: true }), added(11, "No", { normalized: false })],
    normalizer: { type: "Lowercase" },
  });
  expect([...tokenizer.encode("YES No NO")]).toEqual([10, 11, 1]);
});

test.skipIf(!tokenizers)("a token that tokenizer_config.json names is special, and cut out of texts", async () => {
  const tokenizer = await words(["a", "</s>"], {}, { eos_token: "</s>" });
  expect([...tokenizer.encode("a</s>a")]).toEqual([1, 2, 1]);
  expect(tokenizer.decode([1, 2, 1], { skipSpecial: true })).toBe("a a");
});

const template: JsonObject = {
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [2], tokens: ["<s>"] } },
  },
};

test.skipIf(!tokenizers)("add_bos_token and add_eos_token change what the post-processor says", async () => {
  const names = { bos_token: "<s>", eos_token: "</s>" };
  const around = async (parts: JsonObject, config: JsonObject) => {
    const tokenizer = await words(["a", "<s>", "</s>"], parts, { ...names, ...config });
    return [[...tokenizer.encode("a", { special: true })], [...encodePrompt(tokenizer, "a")]];
  };
  expect(await around({}, {})).toEqual([[1], [1]]);
  expect(await around(template, {})).toEqual([
    [2, 1],
    [2, 1],
  ]);
  expect(await around({}, { add_bos_token: true, add_eos_token: true })).toEqual([
    [2, 1, 3],
    [2, 1],
  ]);
  expect(await around(template, { add_bos_token: true })).toEqual([
    [2, 1],
    [2, 1],
  ]);
  expect(await around(template, { add_bos_token: false })).toEqual([[1], [1]]);
  const bert = { post_processor: { type: "BertProcessing", cls: ["<s>", 2], sep: ["</s>", 3] } };
  expect(await around(bert, {})).toEqual([
    [2, 1, 3],
    [2, 1],
  ]);
});

test.skipIf(!tokenizers)("answers end at every end token that the model's files name", async () => {
  const tokenizer = await words(
    ["a", "</s>", "<e>", "<f>"],
    {},
    {},
    {
      "special_tokens_map.json": { eos_token: { content: "</s>" } },
      "generation_config.json": { eos_token_id: [3, 2] },
      "config.json": { text_config: { eos_token_id: 4 }, eos_token_id: null },
    },
  );
  expect([tokenizer.eos, tokenizer.ends]).toEqual([2, [2, 3, 4]]);
});

test.skipIf(!tokenizers)("Unigram: the best path, unknown characters as bytes or as one unknown token", async () => {
  const vocab = [
    ["<unk>", 0],
    ["a", -1],
    ["b", -1],
    ["ab", -1.5],
    ["<0xC3>", -9],
    ["<0xA9>", -9],
    ["▁", -2],
  ];
  const model = { type: "Unigram", vocab, unk_id: 0 };
  const tokenizer = await load({ model });
  expect([...tokenizer.encode("abba")]).toEqual([3, 2, 1]);
  expect([...tokenizer.encode("aéüb")]).toEqual([1, 0, 2]);
  const bytes = await load({ model: { ...model, byte_fallback: true } });
  expect([...bytes.encode("aéb")]).toEqual([1, 4, 5, 2]);
  expect([...bytes.encode("aéüb")]).toEqual([1, 0, 2]);
});

test.skipIf(!tokenizers)("Metaspace marks the first word only where it begins the text", async () => {
  const tokenizer = await words(["▁a", "a", "▁b"], {
    added_tokens: [added(9, "<s>", { special: true })],
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
  });
  expect([...tokenizer.encode("a b")]).toEqual([1, 3]);
  expect([...tokenizer.encode("<s>a b")]).toEqual([9, 2, 3]);
  const stream = tokenizer.decoder({ skipSpecial: true });
  expect([1, 9, 3].map((id) => stream.push(id)).join("") + stream.end()).toBe("a b");
});

test.skipIf(!tokenizers)("separators are removed, kept alone, or joined to a neighbour", async () => {
  const split = async (behavior: string, invert = false) => {
    const list = ["a", "b", "-", "--", "-b", "a-", "a--", "--b"];
    const pre_tokenizer = { type: "Split", pattern: { Regex: "-" }, behavior, invert };
    const tokenizer = await words(list, { pre_tokenizer });
    return Array.from(tokenizer.encode("a--b"), (id) => tokenizer.decode([id]));
  };
  expect(await split("Removed")).toEqual(["a", "b"]);
  expect(await split("Removed", true)).toEqual(["-", "-"]);
  expect(await split("Isolated")).toEqual(["a", "-", "-", "b"]);
  expect(await split("Contiguous")).toEqual(["a", "--", "b"]);
  expect(await split("MergedWithPrevious")).toEqual(["a-", "-", "b"]);
  expect(await split("MergedWithNext")).toEqual(["a", "-", "-b"]);
});

test.skipIf(!tokenizers)(
  "decoders: bytes that are no text, characters outside the byte table, and strips",
  async () => {
    const fallback = await words(["<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "▁x"], {
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " $&" },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
    });
    expect(fallback.decode([5, 1, 2, 3, 4])).toBe("$&x😀");
    expect(fallback.decode([1, 2, 5])).toBe("\ufffd\ufffd $&x");
    const level = await words(["Ġx", "日 本"], { decoder: { type: "ByteLevel" } });
    expect(level.decode([1, 2, 77])).toBe(" x日 本");
  },
);

test.skipIf(!tokenizers)("a kind that would give other ids is refused by name", async () => {
  const refused = async (parts: JsonObject) => (await rejection(words(["a"], parts))).message;
  expect(await refused({ normalizer: { type: "Nmt" } })).toBe(
    "m/: tokenizer.json: the normalizer Nmt is not supported",
  );
  expect(await refused({ pre_tokenizer: { type: "UnicodeScripts" } })).toContain("the pre-tokenizer");
  expect(await refused({ decoder: { type: "CTC" } })).toContain("the decoder");
  const bpe = { type: "BPE", vocab: { a: 0 }, merges: [], continuing_subword_prefix: "##" };
  expect(await refused({ model: bpe })).toContain("the BPE prefix");
  const damaged = { normalizer: { type: "Replace", pattern: { Regex: "(" }, content: "" } };
  expect(await refused(damaged)).toStartWith('m/: tokenizer.json: the pattern {"Regex":"("} cannot be read: ');
});
