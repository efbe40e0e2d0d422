/** Recipes that choose a vocabulary: what they write beside the tables, and what they refuse. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import { vocabularyOf } from "../../../src/data/vocabulary.ts";
import { type PlanOptions, planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { checkpoint, decoder, entry, METHODS } from "../plan/fixtures.ts";

const GOLDENS = join(import.meta.dir, "../../golden/tokenizer-merge/inputs");
const goldens = await Promise.all(["base", "a", "b"].map((name) => open(join(GOLDENS, name))));
const named = goldens.map((model, i) => ({ ...model, ref: ["base", "a", "b"][i]! }));

/** Plans a linear merge of `models`, with more keys in its recipe. */
async function planned(models: readonly Checkpoint[], more: string, options: PlanOptions = {}) {
  const list = models.map(({ ref }) => `- {model: ${ref}, parameters: {weight: 1}}`).join("\n");
  const [recipe] = await parseRecipe(`merge_method: linear\nmodels:\n${list}\n${more}\n`, "r.yml");
  const opened = new Map(models.map((model) => [referenceKey({ path: model.ref }), model]));
  return planMerge(recipe!, opened, METHODS.get("linear")!, options);
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
    const one = unigram(
      "one",
      [
        ["<unk>", 0],
        ["▁a", -1],
        ["b", -2],
      ],
      [["<sep>", 4]],
    );
    const two = unigram(
      "two",
      [
        ["<unk>", 0],
        ["b", -3],
        ["▁c", -1.5],
      ],
      [["<mask>", 3]],
    );
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

  const added = (content: string, id: number) => ({ id, content, special: true });
  const bpe = (ref: string, vocab: object, beside: unknown[] = [], merges: string[] = [], more: object = {}) =>
    decoder(ref, 1, { "tokenizer.json": { added_tokens: beside, model: { type: "BPE", vocab, merges } }, ...more });

  test("makes a plain token an added one where another model adds it, and keeps ids that readers count", async () => {
    const one = bpe("one", { a: 0, b: 1, "<im>": 2 }, [added("<s>", 3), null]);
    const two = bpe("two", { a: 0, c: 1, ac: 2, "<s>": 3, "<s>c": 4 }, [added("<im>", 5)], ["a c", "<s> c"]);
    const { model, added_tokens } = json(await planned([one, two], "tokenizer_source: union"), "tokenizer.json");
    expect(added_tokens).toEqual([added("<s>", 3), null, added("<im>", 2)]);
    // An added token that is none of the model's would get the model's number of tokens as its id: 6.
    expect(model.vocab).toEqual({ a: 0, b: 1, "<im>": 2, "<s>": 3, c: 4, ac: 5, "<s>c": 6 });
    // A merge of a part that the model lacks makes a file that cannot be read.
    expect(model.merges).toEqual(["a c"]);
  });

  test("tells ids without a token, and refuses a token of no text", async () => {
    const plan = await planned([bpe("x", { a: 0, b: 3 })], "tokenizer_source: base");
    expect(plan.warnings).toContain("6 rows of x have no token and are left out");
    expect(plan.warnings).toContain("2 ids of x have no token: their rows are the mean of all others");
    const empty =
      'tokenizer: {source: base, tokens: {"": {source: {kind: zero}}, "__proto__": {source: {kind: zero}}}}';
    expect(planned([bpe("x", { a: 0 })], empty)).rejects.toThrow("a token of no text cannot be added");
    const odd = await planned([bpe("x", { a: 0 })], empty.replace('"": ', '"{:\\n": '));
    expect(Object.entries(json(odd, "tokenizer.json").model.vocab)).toEqual(
      Object.entries({ a: 0, "{:\n": 1, ["__proto__"]: 2 }),
    );
  });

  test("moves the rows of a masked head with the table, and those that only one model stores", async () => {
    const values = (name: string, list: readonly number[], shape = [list.length]) =>
      entry(name, "F32", shape, new Uint8Array(Float32Array.from(list).buffer));
    const masked = (ref: string, vocab: object, tensors: readonly TensorEntry[]) => ({
      ...checkpoint(ref, {}, { "tokenizer.json": { added_tokens: [], model: { type: "WordPiece", vocab } } }),
      tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    });
    const [table, bias, positions] = [
      "bert.embeddings.word_embeddings.weight",
      "cls.predictions.bias",
      "bert.embeddings.position_embeddings.weight",
    ];
    const places = values(positions, [7, 8], [2, 1]);
    const one = masked("one", { a: 0, b: 1 }, [values(table, [1, 2], [2, 1]), places, values(bias, [10, 20])]);
    const two = masked("two", { b: 0, c: 1 }, [values(table, [3, 4], [2, 1]), places]);
    const plan = await planned([one, two], "tokenizer_source: union", { allowMissing: true });
    const read = async (name: string) => {
      const found = plan.tensors.find((tensor) => tensor.name === name)!;
      return Promise.all(
        [...(found.base ? [found.base] : []), ...found.models].map(async (from) => {
          const bytes = new Uint8Array(from.bytes);
          await from.read(bytes, 0);
          return [...new Float32Array(bytes.buffer)];
        }),
      );
    };
    expect(await read(table)).toEqual([
      [1, 2, 4],
      [1, 3, 4],
    ]);
    expect(await read(bias)).toEqual([[10, 20, 15]]); // c is no token of the only model that has a bias
    expect(await read(positions)).toEqual([
      [7, 8],
      [7, 8],
    ]);
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

  test("brings its chat template, and moves the ids of a language part", async () => {
    const text_config = { num_hidden_layers: 1, vocab_size: 8, bos_token_id: 0, pad_token_id: -1 };
    const config = { model_type: "llava", image_token_index: 1, text_config };
    const x = decoder("x", 1, {
      ...files({ "<s>": 0, "<image>": 1 }, {}),
      ...{ "chat_template.jinja": "{{ 1 }}", "config.json": config },
    });
    const y = decoder("y", 1, files({ "<image>": 0, "<s>": 1 }, { chat_template: "{{ 2 }}" }));
    const plan = await planned([x, y], "tokenizer_source: y");
    expect([plan.files.has("chat_template.jinja"), json(plan, "tokenizer_config.json").chat_template]).toEqual([
      false,
      "{{ 2 }}",
    ]);
    expect(plan.warnings.filter((line) => line.includes("template"))).toEqual([]);
    expect(json(plan, "config.json")).toEqual({
      ...config,
      ...{ image_token_index: 0, text_config: { ...text_config, vocab_size: 2, bos_token_id: 1 } },
    });
    const chosen = await planned([x, y, { ...x, ref: "z" }], "tokenizer_source: y\nchat_template: auto");
    expect(json(chosen, "tokenizer_config.json").chat_template).toBe("{{ 1 }}");
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
