/**
 * Recipes: what to merge, in mergekit's YAML.
 *
 * The schema is mergekit's (https://github.com/arcee-ai/mergekit), so its recipes run unchanged, but for those that rebuild a
 * tokenizer, which are refused. Several documents in one file, each with a `name`, can build on one another.
 */

import { UserError } from "../../../errors.ts";
import type { Parameters } from "../../../merge/plan/parameters.ts";
import type { Dtype } from "../../dtype.ts";
import { type ModelReference, referenceKey } from "../../reference.ts";
import { RecipeReader } from "./recipe-reader.ts";
import { parseYaml } from "./yaml.ts";

/** One input of a slice. `layers` is [first, end); undefined means all. */
export interface RecipeSource {
  readonly ref: ModelReference;
  readonly layers?: readonly [number, number];
  readonly parameters: Parameters;
}

export interface RecipeSlice {
  readonly sources: readonly RecipeSource[];
  readonly base?: ModelReference;
  readonly parameters: Parameters;
}

/** Either whole models over all their layers, or slices of layers stacked in order. */
export type RecipeBody =
  | { readonly kind: "models"; readonly models: readonly RecipeSource[] }
  | { readonly kind: "slices"; readonly slices: readonly RecipeSlice[] };

/** One tower of a model with several; the only one of a plain recipe has no name. */
export interface RecipeModule {
  readonly name?: string;
  readonly body: RecipeBody;
  readonly parameters: Parameters;
}

export interface Recipe {
  /** The file it was read from, or "command line"; begins messages. */
  readonly file: string;
  readonly name?: string;
  /** As written: `task_arithmetic`. */
  readonly method: string;
  readonly base?: ModelReference;
  readonly modules: readonly RecipeModule[];
  readonly parameters: Parameters;
  /** Type that tensors are cast to when loaded and that arithmetic happens in; undefined: the stored type. */
  readonly dtype?: Dtype;
  /** Type that is written; undefined: the type of the result. */
  readonly outDtype?: Dtype;
  readonly warnings: readonly string[];
}

/**
 * Reads every recipe of a YAML text. Throws a UserError that names file, line and column for anything that is not YAML or
 * not a recipe. What mergekit would pass over in silence is in the `warnings` of each recipe.
 */
export async function parseRecipe(text: string, file: string): Promise<Recipe[]> {
  const documents = await parseYaml(text, file);
  if (documents.length === 0) throw new UserError(`${file} is empty`, "a recipe has at least merge_method and models");
  return documents.map((document) => new RecipeReader(document, file).recipe());
}

/** Every model of a recipe once, in the order of the file, the base last unless it is among them. */
export function recipeReferences(recipe: Recipe): ModelReference[] {
  const found = new Map<string, ModelReference>();
  const add = (ref: ModelReference | undefined) => {
    if (ref !== undefined && !found.has(referenceKey(ref))) found.set(referenceKey(ref), ref);
  };
  for (const { body } of recipe.modules) {
    if (body.kind === "models") for (const { ref } of body.models) add(ref);
    else {
      for (const slice of body.slices) {
        for (const { ref } of slice.sources) add(ref);
        add(slice.base);
      }
    }
  }
  add(recipe.base);
  return [...found.values()];
}

/**
 * Puts the documents of one file in an order in which each comes after those whose `name` it uses as a model; the last one is
 * the output, which is the one without a name. Throws a UserError for a ring, a name given twice, and an unclear output.
 */
export function orderRecipes(recipes: readonly Recipe[]): Recipe[] {
  const file = recipes[0]?.file ?? "recipe";
  const named = new Map<string, Recipe>();
  for (const recipe of recipes) {
    if (recipe.name === undefined) continue;
    if (named.has(recipe.name))
      throw new UserError(`${file} has two recipes named ${recipe.name}`, "rename one of them");
    named.set(recipe.name, recipe);
  }
  const needs = (recipe: Recipe): Recipe[] =>
    recipeReferences(recipe)
      .flatMap((ref) => [ref.path, ref.adapter?.path ?? ""])
      .flatMap((path) => named.get(path) ?? []);

  const unnamed = recipes.filter((recipe) => recipe.name === undefined);
  const used = new Set(recipes.flatMap(needs));
  const ends = unnamed.length > 0 ? unnamed : recipes.filter((recipe) => !used.has(recipe));
  const ordered: Recipe[] = [];
  const open: Recipe[] = [];
  const visit = (recipe: Recipe): void => {
    if (ordered.includes(recipe)) return;
    if (open.includes(recipe)) {
      const ring = [...open.slice(open.indexOf(recipe)), recipe].map(({ name }) => name).join(" -> ");
      throw new UserError(`${file}: recipes need each other: ${ring}`, "write ./NAME for a folder of that name");
    }
    open.push(recipe);
    for (const needed of needs(recipe)) visit(needed);
    open.pop();
    ordered.push(recipe);
  };
  for (const recipe of recipes) if (!ends.includes(recipe)) visit(recipe);
  if (ends.length !== 1) {
    const message = `${file} has ${ends.length} recipes that no other uses, expected one`;
    throw new UserError(message, "leave out the name of the one to write, and use the others in it");
  }
  visit(ends[0]!);
  return ordered;
}
