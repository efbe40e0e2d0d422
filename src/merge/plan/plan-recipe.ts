/** From a recipe to its plan: finds the method, opens the models. */
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { loadMethod } from "../../method/registry.ts";
import { type PlanOptions, planMerge } from "./merge-plan.ts";
import { checkPlaces } from "./named-things.ts";
import type { OpenModels } from "./open-models.ts";

/** Throws a UserError when the method is unknown, a model cannot be opened, or they do not fit together. */
export async function planRecipe(recipe: Recipe, models: OpenModels, options: PlanOptions) {
  const method = await loadMethod("merge", recipe.method, "merge_method");
  const opened = await models.open(recipe);
  const plan = await planMerge(recipe, opened, method, options);
  checkPlaces(plan, method);
  return { method, opened, plan };
}
