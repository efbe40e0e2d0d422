/** Recipes that choose a vocabulary: what they write beside the tables, and what they refuse. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import { vocabularyOf } from "../../../src/data/vocabulary.ts";
import { planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { decoder, METHODS } from "../plan/fixtures.ts";

const GOLDENS = join(import.meta.dir, "../../golden/tokenizer-merge/inputs");
const goldens = await Promise.all(["base", "a", "b"].map((name) => open(join(GOLDENS, name))));
const named = goldens.map((model, i) => ({ ...model, ref: ["base", "a", "b"][i]! }));

/** Plans a linear merge of `models`, with more keys in its recipe. */
async function planned(models: readonly Checkpoint[], more: string) {
  const list = models.map(({ ref }) => `- {model: ${ref}, parameters: {weight: 1}}`).join("\n");
  const [recipe] = await parseRecipe(`merge_method: linear\nmodels:\n${list}\n${more}\n`, "r.yml");
  const opened = new Map(models.map((model) => [referenceKey({ path: model.ref }), model]));
  return planMerge(recipe!, opened, METHODS.get("linear")!);
}

const text = ({ files }: { files: ReadonlyMap<string, Uint8Array> }, name: string) =>
  new TextDecoder().decode(files.get(name));
const json = (from: { files: ReadonlyMap<string, Uint8Array> }, name: string) => JSON.parse(text(from, name));
const TABLE = "model.embed_tokens.weight";

describe("a union", () => {
  test("keeps the ids of the base, numbers new tokens as they come, and tokenizes what its parts can", async () => {
    const plan = await planned(named, "base_model: base\ntokenizer: {source: union}");
    const [own, all] = [vocabularyOf(named[0]!)!, vocabularyOf(plan)!];
    for (const [token, id] of own) expect([token, all.get(token)]).toEqual([token, id]);
    const fresh = [...all].filter(([token]) => !own.has(token));
    expect(fresh.map(([, id]) => id).sort((a, b) => a - b)).toEqual(fresh.map((_, i) => own.size + i));
    expect(plan.tensors.find(({ name }) => name === TABLE)!.shape[0]).toBe(all.size);

    const [base, b, union] = await Promise.all(
      [named[0]!, named[2]!, plan].map(({ files }) => loadTokenizer(files, "it")),
    );
    const words = (of: Tokenizer, line: string) => [...of.encode(line)].map((id) => of.decode([id]));
    // Merges of the base come first, so its own words are cut as before; words that only b knows are whole again.
    expect(words(union!, "the cat")).toEqual(words(base!, "the cat"));
    expect(words(b!, " modelle")).toEqual([" modelle"]);
    expect(words(union!, " modelle").length).toBeLessThan(words(base!, " modelle").length);
  });

  test("of one tokenizer is that tokenizer, and rows without a token are left out, with a word", async () => {
    const plan = await planned([named[1]!, { ...named[1]!, ref: "again" }], "tokenizer_source: union");
    expect(plan.files.get("tokenizer.json")).toEqual(named[1]!.files.get("tokenizer.json")!);
    expect(plan.warnings).toContain("5 rows of a have no token and are left out");
    expect(json(plan, "config.json").vocab_size).toBe(vocabularyOf(plan)!.size);
  });

  test("of pieces with scores keeps places and ids the same, added tokens in between", async () => {
    const unigram = (ref: string, vocab: [string, number][], added: [string, number][]) =>
      decoder(ref, 1, {
        "tokenizer.json": {
          added_tokens: added.map(([content, id]) => ({ id, content })),
          model: { type: "Unigram", vocab },
        },
      });
    const one = unigram("one", [["<unk>", 0], ["▁a", -1], ["b", -2]], [["<sep>", 4]]); // biome-ignore format: a table
    const two = unigram("two", [["<unk>", 0], ["b", -3], ["▁c", -1.5]], [["<mask>", 3]]); // biome-ignore format: a table
    const plan = await planned([one, two], "tokenizer_source: union");
    const { model, added_tokens } = json(plan, "tokenizer.json");
    expect(model.vocab.map(([piece]: [string]) => piece)).toEqual(["<unk>", "▁a", "b", "<gap_3>", "<sep>", "▁c"]);
    expect(model.vocab[5][1]).toBe(-1.5);
    expect(model.vocab.slice(3, 5).every(([, score]: [string, number]) => score < -1e5)).toBe(true);
    expect(added_tokens).toEqual([
      { id: 4, content: "<sep>" },
      { id: 6, content: "<mask>" },
    ]);
    expect(vocabularyOf(plan)!.get("▁c")).toBe(5);
  });

  test("of tokenizers of different kinds is refused by their names", async () => {
    const of = (ref: string, model: object) => decoder(ref, 1, { "tokenizer.json": { added_tokens: [], model } });
    const models = [
      of("x", { type: "BPE", vocab: { a: 0 }, merges: [] }),
      of("y", { type: "WordPiece", vocab: { a: 0 } }),
    ];
    expect(planned(models, "tokenizer_source: union")).rejects.toThrow(
      "r.yml:5:19: the tokenizer of x is BPE, that of y WordPiece: they have no union",
    );
    expect((await planned(models, "tokenizer_source: base")).tensors.length).toBeGreaterThan(0);
  });
});

describe("the tokenizer of another model", () => {
  const files = (vocab: object, config: object) => ({
    "tokenizer.json": { added_tokens: [], model: { type: "BPE", vocab, merges: [] } },
    "tokenizer_config.json": config,
    "config.json": { model_type: "llama", num_hidden_layers: 1, vocab_size: 8, bos_token_id: 0, eos_token_id: [1, 2] },
    "generation_config.json": { eos_token_id: 1, max_length: 2 },
  });

  test("comes with its files, and the ids of special tokens follow", async () => {
    const x = decoder("x", 1, { ...files({ "<s>": 0, "</s>": 1, z: 2 }, { from: "x" }), "merges.txt": "x" });
    const y = decoder("y", 1, files({ z: 0, "<s>": 1, "</s>": 3 }, { from: "y" }));
    const plan = await planned([x, y], "tokenizer_source: y");
    expect(json(plan, "tokenizer_config.json")).toEqual({ from: "y" });
    expect(plan.files.has("merges.txt")).toBe(false);
    expect(json(plan, "config.json")).toMatchObject({ bos_token_id: 1, eos_token_id: [3, 0], vocab_size: 4 });
    expect(json(plan, "generation_config.json")).toEqual({ eos_token_id: 3, max_length: 2 });
  });

  test.each([
    ["tokenizer_source: other", "other is not among the models"],
    ["tokenizer: {source: base, tokens: {q: {}}}", "q is in no tokenizer, and its row has no source"],
    ["tokenizer: {source: base, tokens: {z: {source: other, force: true}}}", "z: other is not among the models"],
    [
      "tokenizer: {source: base, tokens: {z: {source: {kind: model_token, model: x, token_id: 9}, force: true}}}",
      "z: x has no row for the id 9",
    ],
  ])("%s is refused", async (key, message) => {
    const model = decoder("x", 1, files({ "<s>": 0, "</s>": 1, z: 2 }, {}));
    expect(planned([model], key)).rejects.toThrow(message);
  });

  test("is refused where rows would have to come through a pipe, or through an adapter", async () => {
    const [x, y] = [decoder("x", 1, files({ "<s>": 0, z: 2 }, {})), decoder("y", 1, files({ z: 0, "<s>": 1 }, {}))];
    const piped = { ...y, retain() {} };
    expect(planned([x, piped], "tokenizer_source: base")).rejects.toThrow("y comes through a pipe");
    const table = y.tensors.get(TABLE)!;
    const patch = { a: new Float32Array(4), b: new Float32Array(8), rank: 1, scale: 1, transposed: false };
    const adapted = { ...y, tensors: new Map([...y.tensors, [TABLE, { ...table, patch }]]) };
    expect(planned([x, adapted], "tokenizer_source: base")).rejects.toThrow("the adapter on y changes");
  });
});
