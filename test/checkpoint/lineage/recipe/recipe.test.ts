import { describe, expect, test } from "bun:test";
import { orderRecipes } from "../../../../src/checkpoint/lineage/recipe/order-recipes.ts";
import { parseRecipe } from "../../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { type Recipe, recipeReferences } from "../../../../src/checkpoint/lineage/recipe/recipe.ts";
import { openable, parseReference, referenceKey } from "../../../../src/checkpoint/reference.ts";
import { UserError } from "../../../../src/errors.ts";

const MODELS = "models:\n- model: a\n- model: b\n";
const one = async (text: string): Promise<Recipe> => (await parseRecipe(text, "r.yml"))[0]!;

async function refusal(text: string): Promise<{ message: string; hint: string | undefined }> {
  try {
    await parseRecipe(text, "r.yml");
  } catch (error) {
    if (error instanceof UserError) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error("accepted");
}

describe("a recipe", () => {
  test("has models with parameters of every kind", async () => {
    const recipe = await one(`
merge_method: ties
base_model: ./base/
dtype: bfloat16
out_dtype: torch.float16
parameters: {normalize: true, lambda: 1e-1}
models:
- model: a
  parameters:
    weight: [0, 0.5]
    density:
    - {filter: mlp, value: [1, 0.2]}
    - value: 0.5
- model: {model: {path: b, revision: v2}, lora: {path: c}}
`);
    expect(recipe.method).toBe("ties");
    expect(recipe.dtype).toBe("BF16");
    expect(recipe.outDtype).toBe("F16");
    expect([...recipe.parameters]).toEqual([
      ["normalize", true],
      ["lambda", 0.1],
    ]);
    const body = recipe.modules[0]!.body;
    if (body.kind !== "models") throw new Error(body.kind);
    expect(body.models[0]!.parameters.get("weight")).toEqual([0, 0.5]);
    expect(body.models[0]!.parameters.get("density")).toEqual([{ filter: "mlp", value: [1, 0.2] }, { value: 0.5 }]);
    expect(recipeReferences(recipe).map(referenceKey)).toEqual(["a", "b@v2+c", "base"]);
    expect(recipe.warnings).toEqual([]);
  });

  test("has slices with ranges, and modules", async () => {
    const sliced = await one(`
merge_method: passthrough
slices:
- sources: [{model: a, layer_range: [0, 4]}]
- sources: [{model: b, layer_range: [2, 6], parameters: {scale: 0.5}}]
  residual_weight: 0.1
`);
    const body = sliced.modules[0]!.body;
    if (body.kind !== "slices") throw new Error(body.kind);
    expect(body.slices.map(({ sources }) => sources[0]!.layers)).toEqual([
      [0, 4],
      [2, 6],
    ]);
    expect(sliced.warnings).toEqual([]);
    const parts = await one("merge_method: linear\nmodules: {text: {models: [{model: a}], parameters: {weight: 1}}}");
    expect(parts.modules.map(({ name, parameters }) => [name, parameters.get("weight")])).toEqual([["text", 1]]);
  });

  test("can merge maps by anchors, and says null for unset", async () => {
    const recipe = await one(`
merge_method: linear
tokenizer_source: null
base_model: null
models:
- model: a
  parameters: &shared {weight: 0.5}
- model: b
  parameters: {<<: *shared, density: null}
`);
    const body = recipe.modules[0]!.body;
    if (body.kind !== "models") throw new Error(body.kind);
    expect([...body.models[1]!.parameters]).toEqual([["weight", 0.5]]);
    expect(recipe.base).toBeUndefined();
  });
});

describe("a mistake in a recipe is named with its place:", () => {
  const cases: [what: string, text: string, message: string, hint?: string][] = [
    ["no YAML", "a: [1, 2", "r.yml:1:9: "],
    ["an empty file", "# nothing\n", "r.yml is empty", "a recipe has at least merge_method and models"],
    ["a list", "- a\n", 'r.yml:1:1: a recipe must be a map, found the list ["a"]'],
    [
      "a misspelt key",
      `merge_metod: linear\n${MODELS}`,
      "r.yml:1:14: unknown key merge_metod",
      "did you mean merge_method?",
    ],
    ["no method", MODELS, "r.yml:1:1: merge_method must be a name, found nothing"],
    ["a key twice", `merge_method: a\nmerge_method: b\n${MODELS}`, "r.yml:2:1: map keys must be unique"],
    [
      "a rule of a token that is no rule",
      `merge_method: linear\n${MODELS}tokenizer: {source: base, tokens: {x: {source: {kind: median}}}}\n`,
      'r.yml:5:55: kind must be model_token, zero, mean, pieces or numeral, found "median"',
    ],
    [
      "a multiple of nothing",
      `merge_method: linear\n${MODELS}tokenizer: {source: base, pad_to_multiple_of: 0}\n`,
      "r.yml:5:47: pad_to_multiple_of must be a number of rows, found 0",
    ],
    [
      "two choices of a tokenizer",
      `merge_method: linear\n${MODELS}tokenizer_source: base\ntokenizer: {source: union}\n`,
      "r.yml:5:19: tokenizer and tokenizer_source both choose it",
      "keep tokenizer",
    ],
    [
      "a type without arithmetic",
      `merge_method: linear\ndtype: int8\n${MODELS}`,
      'r.yml:2:8: dtype must be float32, float16 or bfloat16, found "int8"',
    ],
    ["no models", "merge_method: linear\n", "r.yml:1:1: expected either models or slices, found neither"],
    [
      "a model without a name",
      "merge_method: linear\nmodels:\n- parameters: {weight: 1}\n",
      "r.yml:3:3: expected the key model",
    ],
    [
      "two adapters",
      "merge_method: linear\nmodels:\n- model: a+b+c\n",
      'r.yml:3:10: model "a+b+c" has 2 adapters, expected at most one',
    ],
    [
      "a range that is none",
      "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [4, 2]}]\n",
      "r.yml:3:37: layer_range must be [first, end), found the list [4,2]",
      "write [first, end): [0, 16] means layers 0 to 15",
    ],
    [
      "slices of unequal length",
      "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 4]}\n  - {model: b, layer_range: [0, 5]}\n",
      "r.yml:5:29: the sources of a slice must have equally many layers, found 4 in a and 5 in b",
    ],
    [
      "values and filters mixed",
      "merge_method: linear\nparameters:\n  weight: [0.5, {filter: mlp, value: 1}]\nmodels:\n- model: a\n",
      "r.yml:3:12: weight mixes plain values and {filter, value}",
    ],
    [
      "modules beside models",
      `merge_method: linear\n${MODELS}modules: {text: {}}\n`,
      "r.yml:5:10: modules cannot stand beside models or slices",
    ],
  ];
  for (const [what, text, message, hint] of cases) {
    test(what, async () => {
      const found = await refusal(text);
      expect(found.message).toStartWith(message);
      if (hint !== undefined) expect(found.hint).toBe(hint);
    });
  }

  test("keys below the top level that mean nothing are only warned of", async () => {
    const recipe = await one("merge_method: linear\nmodels:\n- model: a\n  paramters: {weight: 1}\n");
    expect(recipe.warnings).toEqual(["r.yml:4:14: paramters is unknown here and is ignored; did you mean parameters?"]);
  });

  test("an alias that expands without end", async () => {
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 9; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(", ")}]`,
      );
    const found = await refusal(lines.join("\n"));
    expect(found.message).toStartWith("r.yml:1:1: excessive alias count");
  });
});

describe("several documents", () => {
  const doc = (name: string | undefined, ...models: string[]): string =>
    `${name === undefined ? "" : `name: ${name}\n`}merge_method: linear\nmodels:\n${models.map((model) => `- model: ${model}`).join("\n")}\n`;
  const order = async (...docs: string[]) =>
    orderRecipes(await parseRecipe(docs.join("---\n"), "r.yml")).map(({ name }) => name ?? "(output)");

  test("come after those they use, the unnamed one last", async () => {
    expect(await order(doc(undefined, "x", "second"), doc("second", "first", "b"), doc("first", "a", "b"))).toEqual([
      "first",
      "second",
      "(output)",
    ]);
    expect(await order(doc("only", "a"))).toEqual(["only"]);
  });

  test("may not go in a ring, nor leave the output open", async () => {
    const ring = order(doc(undefined, "p"), doc("p", "q"), doc("q", "p"));
    await expect(ring).rejects.toThrow("r.yml: recipes need each other: p -> q -> p");
    await expect(order(doc("p", "a"), doc("p", "b"))).rejects.toThrow("r.yml has two recipes named p");
    await expect(order(doc(undefined, "a"), doc(undefined, "b"))).rejects.toThrow(
      "r.yml has 2 recipes that no other uses, expected one",
    );
  });
});

describe("a model reference", () => {
  test("has a path, a revision and an adapter", () => {
    expect(parseReference("org/name@main+other/lora@v1")).toEqual({
      path: "org/name",
      revision: "main",
      adapter: { path: "other/lora", revision: "v1" },
    });
    expect(parseReference("/home/me@host/model")).toEqual({ path: "/home/me@host/model" });
    expect(parseReference("./model@v2")).toEqual({ path: "./model", revision: "v2" });
    expect(parseReference("C:\\models\\a")).toEqual({ path: "C:\\models\\a" });
    expect(() => parseReference("a+")).toThrow('model "a+" has an empty part');
  });

  test("is the same however its path is spelt", () => {
    expect(["./a", "a/", "././a//", "a"].map((path) => referenceKey({ path }))).toEqual(["a", "a", "a", "a"]);
    expect(["/", "..", "../a/", "-"].map((path) => referenceKey({ path }))).toEqual(["/", "..", "../a", "-"]);
  });

  test("is a Hub model when it looks like one and is not on disk", () => {
    const onDisk = (path: string) => path === "org/local";
    expect(openable(parseReference("org/name@v1"), onDisk)).toBe("hf:org/name@v1");
    expect(openable(parseReference("org/local@v1"), onDisk)).toBe("org/local");
    expect(openable(parseReference("./org/name"), onDisk)).toBe("./org/name");
    expect(openable(parseReference("hf:org/name@v1+org/lora"), onDisk)).toBe("hf:org/name@v1+hf:org/lora");
  });
});
