import { describe, expect, test } from "bun:test";
import type { Recipe, RecipeSource } from "../../../src/checkpoint/lineage/recipe/recipe.ts";
import { parseSet, type RecipeArguments, recipeFromArguments } from "../../../src/merge/plan/arguments.ts";
import { evaluate } from "../../../src/merge/plan/parameters.ts";
import { METHODS } from "./fixtures.ts";

const recipe = (method: string, values: Record<string, string>, more: Partial<RecipeArguments> = {}): Recipe =>
  recipeFromArguments({
    models: ["a", "b"],
    method: METHODS.get(method)!,
    values: new Map(Object.entries(values)),
    ...more,
  });

function sources({ modules }: Recipe): readonly RecipeSource[] {
  const { body } = modules[0]!;
  if (body.kind !== "models") throw new Error(body.kind);
  return body.models;
}

describe("values from the command line", () => {
  test("go one to each model, or one to all", () => {
    const models = sources(recipe("ties", { weight: "0.3,0.7", density: "0.5" }, { base: "c" }));
    expect(models.map(({ parameters }) => Object.fromEntries(parameters))).toEqual([
      { weight: 0.3, density: 0.5 },
      { weight: 0.7, density: 0.5 },
    ]);
  });

  test("are 1 for every model listed when no weight is given", () => {
    const weights = (built: Recipe) => sources(built).map(({ parameters }) => parameters.get("weight"));
    expect(weights(recipe("linear", {}))).toEqual([1, 1]);
    expect(weights(recipe("ties", { density: "0.5" }, { base: "c" }))).toEqual([1, 1]);
    expect(weights(recipe("linear", {}, { base: "c" }))).toEqual([1, 1, undefined]);
    const filtered = recipe("linear", {}, { filtered: [parseSet("weight:mlp=0.2")] });
    expect(weights(filtered)).toEqual([
      [{ filter: "mlp", value: 0.2 }, { value: 1 }],
      [{ filter: "mlp", value: 0.2 }, { value: 1 }],
    ]);
  });

  test("may be gradients in brackets", () => {
    const models = sources(recipe("ties", { weight: "[0,1],0.5" }, { base: "c" }));
    expect(models.map(({ parameters }) => parameters.get("weight"))).toEqual([[0, 1], 0.5]);
    expect(sources(recipe("ties", { weight: "[0, 1]" })).map(({ parameters }) => parameters.get("weight"))).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  test("are a gradient over depth where there is one for all models", () => {
    expect(recipe("slerp", { t: "0,0.5,1" }, { base: "a" }).parameters.get("t")).toEqual([0, 0.5, 1]);
    expect(recipe("slerp", { t: "0.3" }, { base: "a" }).parameters.get("t")).toBe(0.3);
    expect(recipe("linear", { weight: "1", normalize: "false" }).parameters.get("normalize")).toBe(false);
  });

  test("with a filter come before the plain one, in the order given", () => {
    const built = recipe(
      "linear",
      { weight: "0.5" },
      { filtered: [parseSet("weight:mlp=0.2,0.7"), parseSet("weight:attn=1")] },
    );
    const [a, b] = sources(built).map(({ parameters }) => parameters.get("weight")!);
    expect(b).toEqual([{ filter: "mlp", value: 0.7 }, { filter: "attn", value: 1 }, { value: 0.5 }]);
    expect(["x.mlp.w", "x.attn.w", "x"].map((name) => evaluate(a!, name, 0))).toEqual([0.2, 1, 0.5]);
  });

  test("without a filter are the same as the option", () => {
    expect(recipe("slerp", {}, { filtered: [parseSet("t=0.25")] }).parameters.get("t")).toBe(0.25);
    expect(recipe("sce", { "select-topk": "0.3" }).parameters.get("select_topk")).toBe(0.3);
  });

  test("may name the base last where it is one more model", () => {
    const models = sources(recipe("linear", { weight: "1,2,3" }, { base: "c" }));
    expect(models.map(({ ref, parameters }) => [ref.path, parameters.get("weight")])).toEqual([
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ]);
    expect(sources(recipe("linear", { weight: "1,2" }, { base: "b/" })).length).toBe(2);
  });
});

describe("a mistake on the command line:", () => {
  test("too many values", () => {
    expect(() => recipe("ties", { weight: "1,2,3" }, { base: "c" })).toThrow("--weight has 3 values for 2 models");
  });

  test("an unknown parameter", () => {
    expect(() => recipe("ties", { wieght: "1" })).toThrow("unknown parameter wieght of ties");
    expect(() => recipe("karcher", {}, { filtered: [parseSet("t:mlp=1")] })).toThrow("unknown parameter t of karcher");
  });

  test("no value", () => {
    expect(() => parseSet("weight:mlp")).toThrow("--set weight:mlp is not name[:filter]=value");
    expect(() => recipe("ties", { weight: "1," })).toThrow(
      'weight has the value "", expected a number, a word, or [numbers]',
    );
    expect(() => recipe("ties", { weight: "[1" })).toThrow('weight has the value "[1"');
  });

  test("several words where one is asked for", () => {
    expect(() => recipe("linear", { weight: "1", normalize: "true,false" })).toThrow(
      "normalize has 2 values, expected one",
    );
  });
});
