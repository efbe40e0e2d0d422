/** The order in which the recipes of one file run. */
import { UserError } from "../../../errors.ts";
import { type Recipe, recipeReferences } from "./recipe.ts";

/**
 * Puts the documents of one file in an order in which each comes after those whose `name` it uses as a model; the last
 * one is the output, which is the one without a name. Throws a UserError for a ring, a name given twice, and an unclear
 * output.
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
