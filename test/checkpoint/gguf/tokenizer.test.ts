/** tokenizer.json and companions from `tokenizer.ggml.*`: how text is cut, which tokens are special, what is told. */
import { describe, expect, test } from "bun:test";
import { tokenizerFiles } from "../../../src/checkpoint/gguf/tokenizer.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";

const PIECES = ["<s>", "</s>", "<|eot|>", "▷", ..."abcdeIx123!.'".split(""), "Ġ", "Ċ", "ab", "abc", "Ġab", "12", "123"];
const id = (token: string) => PIECES.indexOf(token);
const MERGES = ["a b", "1 2", "12 3", "Ġ ab"];
const TYPES = PIECES.map((_, i) => (i < 3 ? 3 : i === 3 ? 4 : 1));

const metadata = (more: Record<string, unknown> = {}) =>
  new Map<string, unknown>(
    Object.entries({
      "general.architecture": "llama",
      "llama.context_length": 99,
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.tokens": PIECES,
      "tokenizer.ggml.token_type": TYPES,
      "tokenizer.ggml.merges": MERGES,
      "tokenizer.ggml.bos_token_id": 0,
      "tokenizer.ggml.eos_token_id": 1,
      "tokenizer.ggml.eot_token_id": 2n,
      ...more,
    }).filter(([, value]) => value !== undefined),
  );

function made(more: Record<string, unknown> = {}) {
  const told: string[] = [];
  const texts = tokenizerFiles(metadata(more), "x.gguf", (message) => told.push(message));
  const files = new Map([...texts].map(([name, text]) => [name, new TextEncoder().encode(text)]));
  return { told, texts, files };
}
const encode = async (text: string, pre: string, special = false) => {
  const tokenizer = await loadTokenizer(made({ "tokenizer.ggml.pre": pre }).files, "x.gguf");
  return [...tokenizer.encode(text, { special })].map((one) => PIECES[one]);
};

describe("text is cut as the model's own tokenizer does", () => {
  test("numbers: whole, digit by digit, three at a time", async () => {
    expect(await encode("12", "gpt-2")).toEqual(["12"]);
    expect(await encode("12", "qwen2")).toEqual(["1", "2"]);
    expect(await encode("12", "smollm")).toEqual(["1", "2"]);
    expect(await encode("123123", "llama-bpe")).toEqual(["123", "123"]);
    expect(await encode("1231", "gpt-4o")).toEqual(["123", "1"]);
  });

  test("words: with the character before them, or not", async () => {
    expect(await encode("!ab", "gpt-2")).toEqual(["!", "ab"]);
    expect(await encode(" ab", "qwen2")).toEqual(["Ġab"]);
    expect(await encode("x'Id", "llama-bpe")).toEqual(["x", "'", "I", "d"]);
  });

  test("llama-bpe takes a word that is a token whole, without merges; the others do not", async () => {
    expect(await encode("abc", "llama-bpe")).toEqual(["abc"]);
    expect(await encode("abc", "qwen2")).toEqual(["ab", "c"]);
  });

  test("tokens that a user added are found in text", async () => {
    expect(await encode("a▷b<|eot|>", "qwen2")).toEqual(["a", "▷", "b", "<|eot|>"]);
  });
});

test("the first token is added as the file says, and where it does not as the format does", async () => {
  expect(await encode("a", "qwen2", true)).toEqual(["a"]);
  expect(await encode("a", "llama-bpe", true)).toEqual(["<s>", "a"]);
  const stated = made({ "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true });
  const tokenizer = await loadTokenizer(stated.files, "x.gguf");
  expect([...tokenizer.encode("a", { special: true })]).toEqual([0, id("a"), 1]);
  const refusing = made({ "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": false });
  expect(JSON.parse(refusing.texts.get("tokenizer_config.json")!).add_bos_token).toBe(false);
  expect(JSON.parse(refusing.texts.get("tokenizer.json")!).post_processor).toBeNull();
});

test("special tokens, end tokens and the template stand in the files that transformers writes", () => {
  const { texts, told } = made({ "tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.padding_token_id": 1 });
  expect(told).toEqual([]);
  expect(JSON.parse(texts.get("special_tokens_map.json")!)).toEqual({
    bos_token: "<s>",
    eos_token: "</s>",
    pad_token: "</s>",
  });
  expect(JSON.parse(texts.get("generation_config.json")!)).toEqual({
    bos_token_id: 0,
    eos_token_id: [1, 2],
    pad_token_id: 1,
  });
  expect(JSON.parse(texts.get("tokenizer_config.json")!)).toMatchObject({
    eos_token: "</s>",
    clean_up_tokenization_spaces: false,
    model_max_length: 99,
  });
  expect(texts.get("chat_template.jinja")).toBe("{{ messages }}");
  const added = JSON.parse(texts.get("tokenizer.json")!).added_tokens as { content: string; special: boolean }[];
  expect(added.map(({ content, special }) => [content, special])).toEqual([
    ["<s>", true],
    ["</s>", true],
    ["<|eot|>", true],
    ["▷", false],
  ]);
});

describe("SentencePiece", () => {
  const spm = ["<unk>", "▁", "a", "b", "c", "▁a", "ab", "bc", "▁ab", "abc"];
  const model = (more: Record<string, unknown> = {}) => ({
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.pre": undefined,
    "tokenizer.ggml.merges": undefined,
    "tokenizer.ggml.tokens": spm,
    "tokenizer.ggml.token_type": spm.map((_, i) => (i === 0 ? 2 : 1)),
    "tokenizer.ggml.scores": [0, -9, -9, -9, -9, -3, -2, -1, -4, -5],
    "tokenizer.ggml.bos_token_id": undefined,
    "tokenizer.ggml.eos_token_id": undefined,
    "tokenizer.ggml.eot_token_id": undefined,
    ...more,
  });
  const ids = async (text: string, more: Record<string, unknown> = {}) => {
    const tokenizer = await loadTokenizer(made(model(more)).files, "x.gguf");
    return [...tokenizer.encode(text)].map((one) => spm[one]);
  };

  test("joins the pair of the best score first", async () => {
    // bc (-1) before ab (-2), then ▁a (-3); ▁ab cannot arise any more, abc is a + bc.
    expect(await ids("abc")).toEqual(["▁a", "bc"]);
    expect(await ids("ab")).toEqual(["▁ab"]);
    expect(await ids("aabc")).toEqual(["▁a", "abc"]);
  });

  test("puts a space before a text unless the file says no", async () => {
    expect(await ids("ab", { "tokenizer.ggml.add_space_prefix": false })).toEqual(["ab"]);
    expect(await ids("b a", { "tokenizer.ggml.add_space_prefix": false })).toEqual(["b", "▁a"]);
  });

  test("a file without any special token has none", () => {
    const { texts } = made(model());
    expect(texts.has("generation_config.json")).toBe(false);
    expect(JSON.parse(texts.get("tokenizer_config.json")!)).toMatchObject({ add_bos_token: false, unk_token: "<unk>" });
  });

  test("pieces of a million characters are told, not compared", () => {
    const long = made(model({ "tokenizer.ggml.tokens": [...spm.slice(0, -1), "a".repeat(1_000_000)] }));
    expect(long.told).toEqual(["x.gguf: its tokenizer is not read: its tokens are too long"]);
  });
});

test("what is not read is told by name, and nothing is guessed", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ "tokenizer.ggml.model": "bert" }, "its model is bert; llama and gpt2 are read"],
    [{ "tokenizer.ggml.pre": "viking" }, "its way of cutting text, viking, is not known here"],
    [{ "tokenizer.ggml.pre": "constructor" }, "its way of cutting text, constructor, is not known here"],
    [{ "tokenizer.ggml.pre": undefined }, "it does not say how text is cut (tokenizer.ggml.pre)"],
    [{ "tokenizer.ggml.merges": undefined }, "tokenizer.ggml.merges is not a list of texts"],
    [{ "tokenizer.ggml.merges": ["ab"] }, "a merge is ab, expected two pieces with a space between them"],
    [{ "tokenizer.ggml.tokens": [...PIECES.slice(1), "a"] }, "two of its tokens have the same text"],
    [{ "tokenizer.ggml.tokens": 3 }, "tokenizer.ggml.tokens is not a list of texts"],
    [{ "tokenizer.ggml.token_type": [1] }, "tokenizer.ggml.token_type does not fit the tokens"],
    [{ "tokenizer.ggml.model": "llama" }, "tokenizer.ggml.scores does not fit the tokens"],
  ];
  for (const [more, message] of cases) {
    const { told, texts } = made(more);
    expect(told).toEqual([`x.gguf: its tokenizer is not read: ${message}`]);
    expect([...texts.keys()]).toEqual(["generation_config.json"]);
  }
});
