import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { type CheckReport, checkModels } from "../../../src/merge/reports/check.ts";
import { relatedness } from "../../../src/merge/reports/relatedness.ts";
import { checkpoint, decoder, entry } from "../plan/fixtures.ts";

async function check(...models: Checkpoint[]): Promise<CheckReport> {
  const list = models.map(({ ref }) => `- model: ${ref}\n`).join("");
  const [recipe] = await parseRecipe(`merge_method: ties\nbase_model: ${models[0]!.ref}\nmodels:\n${list}`, "r.yml");
  return checkModels(recipe!, new Map(models.map((model) => [referenceKey({ path: model.ref }), model])));
}

/** Checks a recipe with more keys. */
async function checkMore(more: string, ...models: Checkpoint[]): Promise<CheckReport> {
  const list = models.map(({ ref }) => `- model: ${ref}\n`).join("");
  const [recipe] = await parseRecipe(`merge_method: linear\nmodels:\n${list}${more}\n`, "r.yml");
  return checkModels(recipe!, new Map(models.map((model) => [referenceKey({ path: model.ref }), model])));
}

const messages = ({ problems }: CheckReport): string[] => problems.map(({ level, message }) => `${level}: ${message}`);

const tokenizer = (tokens: Record<string, number>, added: [string, number][] = []) => ({
  "tokenizer.json": { model: { vocab: tokens }, added_tokens: added.map(([content, id]) => ({ content, id })) },
});
const words = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, i]));

describe("a check of a recipe that chooses a vocabulary", () => {
  const level = (tokens: readonly string[]) => ({
    "tokenizer.json": {
      added_tokens: [],
      model: { type: "WordLevel", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) },
    },
  });
  const [a, b] = [decoder("a", 1, level(["x", "y", "z"])), decoder("b", 1, level(["z", "w", "x"]))];

  test("says what it will be, and does not compare ids as they stand", async () => {
    const report = await checkMore("tokenizer: {source: union, pad_to_multiple_of: 8}", a, b);
    expect(messages(report)).toEqual([
      "note: a pads its embedding: 8 rows for 3 tokens",
      "note: b pads its embedding: 8 rows for 3 tokens",
      "note: the vocabulary of the result is that of a with more tokens: 4 tokens, and 4 rows without a token",
      "note: a has 3 tokens of it, and takes 1 row from others",
      "note: b has 3 tokens of it, and takes 1 row from others",
      "warning: 5 rows of a have no token and are left out",
      "warning: 5 rows of b have no token and are left out",
    ]);
    const base = messages(await checkMore("tokenizer_source: base", a, b));
    expect(base).toContain("note: the vocabulary of the result is that of a: 3 tokens");
    expect(base).toContain("warning: 1 tokens of b are not in the tokenizer of a: their rows are left out");
    expect(messages(await checkMore("", a, b)).some((line) => line.startsWith("error: 2 tokens with another id"))).toBe(
      true,
    );
  });

  test("says what cannot be done", async () => {
    const none = decoder("none", 1);
    expect(messages(await checkMore("tokenizer_source: union", a, none))).toContain(
      "error: r.yml:5:19: none has no tokenizer.json that says which row is which token",
    );
  });
});

describe("a check", () => {
  test("describes every model, the base first", async () => {
    const { rows, problems } = await check(decoder("base", 2), decoder("a", 2));
    expect(
      rows.map(({ ref, role, layers, parameters, dtypes, rows: height }) => [
        ref,
        role,
        layers,
        parameters,
        dtypes,
        height,
      ]),
    ).toEqual([
      ["base", "base", 2, 8 * 4 * 2 + 4 + 2 * (24 + 4), ["F32"], 8],
      ["a", "model", 2, 8 * 4 * 2 + 4 + 2 * (24 + 4), ["F32"], 8],
    ]);
    expect(problems).toEqual([]);
  });

  test("knows padding from a tokenizer that is too large", async () => {
    const padded = await check(decoder("base", 1, tokenizer(words(5))), decoder("a", 1, tokenizer(words(5))));
    expect(padded.rows[0]!.tokens).toBe(5);
    expect(messages(padded)).toEqual([
      "note: base pads its embedding: 8 rows for 5 tokens",
      "note: a pads its embedding: 8 rows for 5 tokens",
    ]);
    const large = await check(decoder("base", 1, tokenizer(words(9))));
    expect(messages(large)).toEqual(["error: the tokenizer of base has 9 tokens but its embedding only 8 rows"]);
  });

  test("compares vocabularies token by token", async () => {
    const base = decoder("base", 1, tokenizer(words(7), [["<end>", 7]]));
    const chat = decoder(
      "a",
      1,
      tokenizer(words(6), [
        ["<im_start>", 6],
        ["<end>", 7],
      ]),
    );
    expect(messages(await check(base, chat))).toEqual([
      'warning: a has 1 token that base lacks: "<im_start>"',
      "warning: a lacks 1 token of base",
    ]);
    const swapped = decoder("a", 1, tokenizer({ ...words(7), t0: 1, t1: 0 }, [["<end>", 7]]));
    expect(messages(await check(base, swapped))).toEqual([
      'error: 2 tokens with another id: "t0" is 0 in base but 1 in a',
    ]);
    const unigram = {
      "tokenizer.json": {
        model: {
          vocab: [
            ["t0", -1],
            ["t1", -2],
          ],
        },
      },
    };
    expect((await check(decoder("base", 1, unigram))).rows[0]!.tokens).toBe(2);
  });

  test("says when tokenizers cannot be compared", async () => {
    const broken = await check(decoder("base", 1, { "tokenizer.json": "{" }));
    expect(messages(broken)).toEqual(["warning: tokenizer.json of base cannot be read"]);
    const models = ["one", "two"].map((text, i) => decoder(["base", "a"][i]!, 1, { "tokenizer.model": text }));
    expect(messages(await check(models[0]!, models[1]!))).toEqual([
      "warning: tokenizer.model differs between base and a",
    ]);
  });

  test("compares shapes, types, names and settings", async () => {
    const up = "model.layers.0.mlp.up_proj.weight";
    const other = decoder(
      "a",
      1,
      { "config.json": { model_type: "mistral", rope_theta: 500000 } },
      { "model.embed_tokens.weight": [10, 4], [up]: ["BF16", [7, 4]] as const, extra: [1] },
    );
    const base = decoder("base", 1, { "config.json": { model_type: "llama", rope_theta: 10000 } });
    expect(messages(await check(base, other))).toEqual([
      "warning: base is of type llama but a of type mistral",
      "warning: rope_theta is 10000 in base but 500000 in a; the output gets 10000",
      "warning: model.embed_tokens.weight is (8, 4) in base but (10, 4) in a",
      `error: ${up} is (6, 4) in base but (7, 4) in a`,
      "note: 1 tensor stored as F32 in base but BF16 in a",
      "error: base lacks extra, which a has",
    ]);
    const foreign = checkpoint("a", { "blocks.0.w": [1], "blocks.0.v": [1] });
    expect(messages(await check(base, foreign))).toEqual(["error: a has only 0 of the 5 tensors of base, by name"]);
  });
});

/** A checkpoint of four matrices with the given values, stored in any float type. */
function weights(ref: string, value: (i: number) => number, dtype: Dtype = "F32"): Checkpoint {
  const model = decoder(ref, 4);
  const tensors = new Map(model.tensors);
  for (let layer = 0; layer < 4; layer++) {
    const values = Float32Array.from({ length: 24 }, (_, i) => value(24 * layer + i));
    const words = new Uint32Array(values.buffer);
    const data = {
      F32: () => new Uint8Array(values.buffer),
      BF16: () => new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer),
      F64: () => new Uint8Array(Float64Array.from(values).buffer),
      F16: () => new Uint8Array(Float16Array.from(values).buffer),
    }[dtype as "F32"]();
    const name = `model.layers.${layer}.mlp.up_proj.weight`;
    tensors.set(name, entry(name, dtype, [6, 4], data));
  }
  return { ...model, tensors };
}

describe("relatedness", () => {
  const base = (i: number) => Math.sin(1.7 * i);

  test("distinguishes fine-tunes from models of another start", async () => {
    const tuned = weights("a", (i) => base(i) + 0.1 * Math.sin(3.1 * i));
    const stranger = weights("b", (i) => Math.sin(2.9 * i + 1));
    const found = (await relatedness([weights("base", base), tuned, stranger]))!;
    expect(found.tensors.length).toBe(4);
    const [near, far] = found.relations;
    expect(near!.cosine).toBeGreaterThan(0.95);
    expect(near!.distance).toBeCloseTo(0.1, 1);
    expect(Math.abs(far!.cosine)).toBeLessThan(0.4);
    expect(found.problems.map(({ level, message }) => [level, message.slice(0, 58)])).toEqual([
      ["error", "b is not a fine-tune of what base is or was tuned from: co"],
    ]);
  });

  test("reads every float type, and sees equal models", async () => {
    const coarse = (i: number) => ((i % 7) - 3) / 4; // exact in all types
    for (const dtype of ["F16", "BF16", "F64"] as const) {
      const found = (await relatedness([weights("base", coarse), weights("a", coarse, dtype)]))!;
      expect(found.relations[0]).toEqual({ ref: "a", distance: 0, cosine: 1 });
      expect(found.problems[0]!.message).toBe("a and base are equal where they were compared");
    }
  });

  test("sees that two models changed the base alike", async () => {
    const change = (ref: string, scale: number) => weights(ref, (i) => base(i) + scale * Math.cos(i));
    const found = (await relatedness([weights("base", base), change("a", 0.1), change("b", 0.2)]))!;
    expect(found.pairs[0]!.cosine).toBeCloseTo(1, 5);
    expect(found.problems.map(({ level }) => level)).toEqual(["note"]);
  });

  test("has nothing to say of one model, of streams, or without common matrices", async () => {
    expect(await relatedness([weights("a", base)])).toBeUndefined();
    expect(await relatedness([weights("a", base), { ...weights("b", base), kind: "stream" }])).toBeUndefined();
    expect(await relatedness([weights("a", base), checkpoint("b", { x: [1] })])).toBeUndefined();
  });
});
