/** Tokenizers through a GGUF file: the same ids for every text of the goldens, with and without special tokens. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { preTokenizerOf } from "../../../../src/checkpoint/gguf/pre-tokenizers.ts";
import { open } from "../../../../src/checkpoint/open.ts";
import { loadTokenizer } from "../../../../src/data/load-tokenizer.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";
import { jsonOf, type Sample, sampleOf, write } from "./fixture.ts";

const GOLDEN = path.join(import.meta.dir, "../../../golden");

let top: string;
let file: string;
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-tokenizer-"));
  file = path.join(top, "x.gguf");
});
afterAll(() => fs.rmSync(top, { recursive: true }));

interface Golden {
  text: string;
  ids: number[];
  ids_with_special: number[];
}

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** A llama of `rows` tokens with a golden tokenizer. */
interface Definition {
  model: { vocab: Record<string, number> | unknown[]; merges: unknown[] };
  added_tokens: { id: number }[];
}

/** A llama with a golden tokenizer. */
async function withTokenizer(folder: string, change = (_: Definition) => {}): Promise<Sample & { rows: number }> {
  const definition: Definition = JSON.parse(fs.readFileSync(`${GOLDEN}/${folder}/tokenizer.json`, "utf8"));
  change(definition);
  const { vocab } = definition.model;
  const ids = Array.isArray(vocab) ? [vocab.length] : Object.values(vocab);
  const rows = Math.max(...ids, ...definition.added_tokens.map(({ id }) => id)) + 4; // models have more than tokens
  const sample = await sampleOf({ ...TINY_TEXT.llama!, vocab_size: rows });
  sample.files.set("tokenizer.json", bytes(definition));
  const settings = `${GOLDEN}/${folder}/tokenizer_config.json`;
  if (fs.existsSync(settings)) sample.files.set("tokenizer_config.json", fs.readFileSync(settings));
  return { ...sample, rows };
}

const casesOf = (folder: string): Golden[] =>
  JSON.parse(fs.readFileSync(`${GOLDEN}/${folder}/cases.json`, "utf8")).cases;

describe.each(["gpt2", "llama3", "spm-bpe"])("%s", (name) => {
  test("gives the same ids", async () => {
    const sample = await withTokenizer(`tokenizer/${name}`);
    const said = await write(sample, file);
    const checkpoint = await open(file);
    const tokenizer = await loadTokenizer(checkpoint.files, name);
    for (const { text, ids, ids_with_special } of casesOf(`tokenizer/${name}`)) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids]);
      expect([text, [...tokenizer.encode(text, { special: true })]]).toEqual([text, ids_with_special]);
    }
    // Of spm-bpe, a trainer made the merges: SentencePiece has one for every way to split a piece.
    expect(said).toEqual(name === "spm-bpe" ? [expect.stringContaining("merges are not those")] : []);
    checkpoint.close();
    const { metadata } = await gguf(file, { allowLocalFile: true });
    const tokens = Object.entries(metadata).find(([key]) => key === "tokenizer.ggml.tokens")![1] as string[];
    expect(tokens.length).toBe(sample.rows);
    expect(tokens.at(-1)).toBe(`[PAD${sample.rows - 1}]`);
  });
});

test("Gemma's cut at spaces, of which its normalizer leaves none, changes nothing", async () => {
  const sample = await withTokenizer("quantized/gguf-f16-spm", (definition) => {
    const replace = { type: "Replace", pattern: { String: " " }, content: "\u2581" };
    const cut = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };
    Object.assign(definition, { normalizer: replace, pre_tokenizer: cut });
  });
  expect(await write(sample, file)).toEqual([]);
  const checkpoint = await open(file);
  const [own, back] = [await loadTokenizer(sample.files, "own"), await loadTokenizer(checkpoint.files, "back")];
  for (const text of ["the cat sat", " two  spaces ", "a\nb", "caf\u00e9 1234", ""]) {
    expect([text, [...back.encode(text)]]).toEqual([text, [...own.encode(text)]]);
  }
  checkpoint.close();
  const { metadata } = await gguf(file, { allowLocalFile: true });
  expect(metadata).toMatchObject({ "tokenizer.ggml.model": "llama", "tokenizer.ggml.add_space_prefix": false });
});

test.each([
  ["llama-bpe", true, null],
  ["dbrx", false, null],
  ["command-r", false, { type: "NFC" }],
  ["smollm", false, null],
])("%s is the name of a way of cutting text that has it", async (name, whole, normalizer) => {
  const known = preTokenizerOf(name)!;
  const sample = await withTokenizer("tokenizer/gpt2", (definition) => {
    Object.assign(definition, { normalizer, pre_tokenizer: known.preTokenizer });
    Object.assign(definition.model, { ignore_merges: whole });
  });
  expect(await write(sample, file)).toEqual([]);
  const { metadata } = await gguf(file, { allowLocalFile: true });
  expect(metadata).toMatchObject({ "tokenizer.ggml.pre": name });
  const checkpoint = await open(file);
  const { pre_tokenizer: cut, normalizer: changes } = jsonOf(checkpoint, "tokenizer.json");
  expect([cut, changes ?? null]).toEqual([known.preTokenizer, normalizer]);
  checkpoint.close();
});

describe("said or refused", () => {
  test("a kind that GGUF has no form for", async () => {
    await expect(write(await withTokenizer("tokenizer/unigram"), file)).rejects.toThrow(/its model is Unigram/);
  });

  test("a way of cutting text that llama.cpp has no name for", async () => {
    const sample = await withTokenizer("tokenizer/gpt2", (definition) => {
      Object.assign(definition, { pre_tokenizer: { type: "ByteLevel", add_prefix_space: true, use_regex: true } });
    });
    await expect(write(sample, file)).rejects.toThrow(/way of cutting text is not known/);
  });

  test("more tokens than the model has rows, and a tokenizer in tokenizer.model alone", async () => {
    const sample = await withTokenizer("tokenizer/gpt2");
    const small = await sampleOf(TINY_TEXT.llama!);
    small.files.set("tokenizer.json", sample.files.get("tokenizer.json")!);
    await expect(write(small, file)).rejects.toThrow(/but the model has 50 tokens/);
    small.files.delete("tokenizer.json");
    small.files.set("tokenizer.model", new Uint8Array(8));
    await expect(write(small, file)).rejects.toThrow(/in tokenizer.model alone/);
  });

  test("merges that scores do not give; those of SentencePiece they do", async () => {
    expect(await write(await withTokenizer("quantized/gguf-f16-spm"), file)).toEqual([]);
    const changed = await withTokenizer("quantized/gguf-f16-spm", ({ model }) => model.merges.pop());
    expect((await write(changed, file)).join()).toMatch(/merges are not those that scores give/);
  });
});

test("ends of an answer, templates by name and the template itself come back", async () => {
  const sample = await withTokenizer("tokenizer/gpt2");
  const own = JSON.parse(new TextDecoder().decode(sample.files.get("tokenizer_config.json")));
  const templates = [
    { name: "default", template: "{{ messages[0].content }}" },
    { name: "tool-use", template: "{{ tools }}" },
  ];
  const { eos_token } = own;
  sample.files.set(
    "tokenizer_config.json",
    bytes({ ...own, eos_token: eos_token ?? "<|endoftext|>", chat_template: templates }),
  );
  sample.files.set("generation_config.json", bytes({ eos_token_id: [5, 3, 4, 6] }));
  const said = await write(sample, file);
  expect(said.join()).toMatch(/three tokens that end an answer/);
  const { metadata } = await gguf(file, { allowLocalFile: true });
  expect(metadata).toMatchObject({
    "tokenizer.chat_template": "{{ messages[0].content }}",
    "tokenizer.chat_template.tool_use": "{{ tools }}",
    "tokenizer.chat_templates": ["tool-use"],
    "tokenizer.ggml.eot_token_id": expect.any(Number),
  });
  const checkpoint = await open(file);
  expect(new TextDecoder().decode(checkpoint.files.get("chat_template.jinja"))).toBe("{{ messages[0].content }}");
  expect((jsonOf(checkpoint, "generation_config.json").eos_token_id as number[]).length).toBe(3);
  checkpoint.close();
});
