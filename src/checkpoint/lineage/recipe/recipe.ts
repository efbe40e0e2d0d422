/**
 * Recipes: what to merge, in mergekit's YAML. A recipe is lineage written beforehand: `merge` runs it and keeps it in
 * the lineage of the result, and `inspect --command` reads it there.
 *
 * The schema is mergekit's (https://github.com/arcee-ai/mergekit), so its recipes run unchanged. Several documents in
 * one file, each with a `name`, can build on one another.
 */

import type { UserError } from "../../../errors.ts";
import type { Dtype } from "../../dtype.ts";
import { type ModelReference, referenceKey } from "../../reference.ts";
import type { Parameters } from "./settings.ts";

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

/**
 * Where the row of a token comes from: another model's row of it, the row of another token, zeros, the mean of all
 * rows, the mean of the rows of the pieces that its text is cut into, or what a digit at its place is worth.
 */
export type TokenSource =
  | { readonly kind: "model"; readonly ref: ModelReference }
  | { readonly kind: "token"; readonly ref: ModelReference; readonly token: string | number }
  | { readonly kind: "zero" }
  | { readonly kind: "mean" }
  | { readonly kind: "pieces" }
  | { readonly kind: "numeral" };

/**
 * What is said of one token; `force`: also for models that have it; `special`: it is no part of the text of an answer.
 */
export interface TokenRule {
  readonly token: string;
  readonly special?: boolean;
  readonly source?: TokenSource;
  readonly force: boolean;
}

/** The vocabulary of the result, where a recipe chooses it. */
export interface TokenizerRecipe {
  readonly source: "union" | "base" | ModelReference;
  readonly tokens: readonly TokenRule[];
  /** Rows are added up to a multiple of it. */
  readonly padTo?: number;
  /** An error at its place in the recipe. */
  readonly fail: (message: string, hint?: string) => UserError;
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
  readonly tokenizer?: TokenizerRecipe;
  /** A form's name, `auto` or a text in Jinja, and an error at its place. */
  readonly chatTemplate?: { readonly wanted: string; readonly fail: (message: string, hint?: string) => UserError };
  readonly warnings: readonly string[];
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
