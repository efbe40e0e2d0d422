/** From ranges to genes, and from points to recipes. */
import { describe, expect, test } from "bun:test";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { parseReference } from "../../../src/checkpoint/reference.ts";
import { parseRanges, usualRanges } from "../../../src/merge/search/ranges.ts";
import { documentOf, type RecipeDocument, readDocument } from "../../../src/merge/search/recipe-document.ts";
import { modelKey, recipeSpace, type SpaceOptions } from "../../../src/merge/search/search-space.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { defaults } from "../../../src/run/searching/space.ts";

const ties = await loadMethod("merge", "ties");
const linear = await loadMethod("merge", "linear");

const DOCUMENT: RecipeDocument = {
  merge_method: "ties",
  base_model: "base",
  models: [{ model: "x/math" }, { model: "y/code" }],
  parameters: { density: 0.3 },
  rest: { dtype: "bfloat16" },
};
const OPTIONS: SpaceOptions = {
  granularity: 0,
  smooth: false,
  layers: 4,
  keyOf: modelKey(parseReference),
  assumed: [],
};

const spaceOf = (texts: string[], options: Partial<SpaceOptions> = {}, document = DOCUMENT) =>
  recipeSpace(parseRanges(texts, ties), document, ties, { ...OPTIONS, ...options });

const parsed = async (text: string) => (await parseRecipe(text, "found.yml"))[0]!;

describe("genes", () => {
  test("one per model of what goes per model, one of what does not", () => {
    const { space } = spaceOf(["weight=0:2", "density=0.1:0.9", "lambda=0.1:10:log", "normalize=true|false"]);
    expect(space.map(({ name }) => name)).toEqual([
      "weight.math",
      "weight.code",
      "density.math",
      "density.code",
      "lambda",
      "normalize",
    ]);
    // In the middle, where the recipe says, at the option's default.
    expect(defaults(space)).toEqual([1, 1, 0.3, 0.3, 1, true]);
  });

  test("one per group of layers and filter", () => {
    const { space } = spaceOf(["weight=0:1", "weight:mlp=0:1"], { granularity: 3 });
    expect(space.map(({ name }) => name)).toEqual([
      "weight.math.0",
      "weight.math.1",
      "weight.code.0",
      "weight.code.1",
      "weight:mlp.math.0",
      "weight:mlp.math.1",
      "weight:mlp.code.0",
      "weight:mlp.code.1",
    ]);
  });

  test("a base among the models has none, unless it is one more input", () => {
    const models = [{ model: "base" }, { model: "x/math" }];
    const names = (method: typeof ties) =>
      recipeSpace(usualRanges(method), { ...DOCUMENT, models }, method, OPTIONS).space.map(({ name }) => name);
    expect(names(ties)).toEqual(["weight.math"]);
    expect(names(linear)).toEqual(["weight.base", "weight.math"]);
  });

  test("a weight knows its model, the base not counted", () => {
    const models = [{ model: "base" }, { model: "x/math" }, { model: "x/code" }];
    const ranges = parseRanges(["weight=0:1", "density=0.1:1"], ties);
    const { space } = recipeSpace(ranges, { ...DOCUMENT, models }, ties, { ...OPTIONS, granularity: 3 });
    const owners = space.flatMap((gene) => (gene.kind === "real" ? [[gene.name, gene.weightOf]] : []));
    expect(owners.filter(([, model]) => model !== undefined)).toEqual([
      ["weight.math.0", 0],
      ["weight.math.1", 0],
      ["weight.code.0", 1],
      ["weight.code.1", 1],
    ]);
  });

  test("models of one name are told apart", () => {
    const models = [{ model: "a/math" }, { model: "b/math/" }];
    const { space } = recipeSpace(usualRanges(ties), { ...DOCUMENT, models }, ties, OPTIONS);
    expect(space.map(({ name }) => name)).toEqual(["weight.math.1", "weight.math.2"]);
  });
});

describe("recipes", () => {
  test("hold the values of a point, and what was there", async () => {
    const space = spaceOf(["weight=0:1", "weight:mlp=0:1", "lambda=0:2"]);
    const recipe = await parsed(await space.recipe({ values: [0.1, 0.2, 0.3, 0.4, 1.5] }, ["one\n  line"]));
    expect(recipe.dtype).toBe("BF16");
    const { body } = recipe.modules[0]!;
    expect(body.kind === "models" && body.models.map(({ parameters }) => parameters.get("weight"))).toEqual([
      [{ filter: "mlp", value: 0.3 }, { value: 0.1 }],
      [{ filter: "mlp", value: 0.4 }, { value: 0.2 }],
    ]);
    expect([...recipe.parameters]).toEqual([
      ["density", 0.3],
      ["lambda", 1.5],
    ]);
  });

  test("of groups of layers are slices, with all other parameters over them", async () => {
    const space = spaceOf(["weight=0:1", "lambda=0:2"], { granularity: 3 });
    const recipe = await parsed(await space.recipe({ values: [0.1, 0.2, 0.3, 0.4, 1, 2], extra: { seeds: "1:2" } }));
    const { body } = recipe.modules[0]!;
    const slices = body.kind === "slices" ? body.slices : [];
    expect(slices.map(({ sources }) => sources.map(({ layers }) => layers))).toEqual([
      [
        [0, 3],
        [0, 3],
        [0, 3],
      ],
      [
        [3, 4],
        [3, 4],
        [3, 4],
      ],
    ]);
    expect(slices.map(({ sources }) => sources.map(({ parameters }) => parameters.get("weight")))).toEqual([
      [0.1, 0.3, undefined], // the base, which a slice takes from its sources alone
      [0.2, 0.4, undefined],
    ]);
    expect(slices.map(({ parameters }) => parameters.get("lambda"))).toEqual([1, 2]);
    expect([...recipe.parameters]).toEqual([
      ["density", 0.3],
      ["seeds", "1:2"],
    ]);
  });

  test("that are smooth have gradients", async () => {
    const space = spaceOf(["weight=0:1", "weight:mlp=0:1"], { granularity: 2, smooth: true });
    const recipe = await parsed(await space.recipe({ values: [0, 0.5, 1, 0.25, 0.1, 0.2, 0.3, 0.4] }));
    const { body } = recipe.modules[0]!;
    expect(body.kind === "models" && body.models.map(({ parameters }) => parameters.get("weight"))).toEqual([
      [{ filter: "mlp", value: [0.1, 0.2] }, { value: [0, 0.5] }],
      [{ filter: "mlp", value: [0.3, 0.4] }, { value: [1, 0.25] }],
    ]);
  });

  test("numbers come back to the bit", async () => {
    const space = spaceOf(["weight=0:1"]);
    const values = [1 / 3, 1e-7];
    const { body } = (await parsed(await space.recipe({ values }))).modules[0]!;
    expect(body.kind === "models" && body.models.map(({ parameters }) => parameters.get("weight"))).toEqual(values);
  });

  test("of the command line and of a file are the same document", async () => {
    const text =
      "merge_method: ties\nbase_model: base\nmodels:\n  - model: a\n    parameters: {weight: [0, 1]}\ndtype: float16\n";
    const recipe = await parsed(text);
    expect(await readDocument(text, recipe)).toEqual(documentOf(recipe));
  });
});

describe("refused", () => {
  test.each([
    ["weights=0:1", "--search-space: ties has no parameter weights", "did you mean weight?"],
    ["weight", "--search-space weight is no range", undefined],
    ["weight=1", "--search-space weight=1 has no range", undefined],
    ["weight=0:1:lin", "--search-space weight=0:1:lin has no range", undefined],
    ["weight=1:0", "--search-space: weight.math goes from 1 to 0", "give the smaller number first: 0:1"],
    ["normalize=0:1", "--search-space normalize=0:1: it is no number (boolean)", undefined],
  ])("%s", (text, message, hint) => {
    let error: { message?: string; hint?: string } = {};
    try {
      spaceOf([text]);
    } catch (caught) {
      error = caught as typeof error;
    }
    expect(error.message).toBe(message);
    if (hint !== undefined) expect(error.hint).toBe(hint);
  });

  test("gradients that groups of layers would cut, and recipes of slices", async () => {
    const gradient = { ...DOCUMENT, parameters: { density: [0.1, 0.9] } };
    expect(() => spaceOf(["weight=0:1"], { granularity: 2 }, gradient)).toThrow("density is a gradient over depth");
    const text = "merge_method: ties\nslices:\n  - sources: [{model: a, layer_range: [0, 1]}]\n";
    const recipe = await parsed(text);
    expect(readDocument(text, recipe)).rejects.toThrow("found.yml is made of slices or modules");
  });
});
