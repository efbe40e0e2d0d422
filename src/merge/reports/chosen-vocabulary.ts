/** What the vocabulary of the result will be, where a recipe chooses one. */
import type { TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { vocabularyOf } from "../../data/vocabulary.ts";
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import { counted } from "../plan/notes.ts";
import { revise } from "../vocabulary/revise.ts";
import type { CheckProblem } from "./problem.ts";

/** `first`: the base, or the first model; `hasBase` says which. Reads no weights. */
export async function chosenVocabulary(
  recipe: TokenizerRecipe,
  models: ReadonlyMap<string, NamedModel>,
  first: { readonly first: NamedModel; readonly hasBase: boolean },
): Promise<CheckProblem[]> {
  const warnings: string[] = [];
  try {
    const revised = await revise(recipe, models, first, warnings);
    if (!revised)
      return [{ level: "note", message: "no model says which row is which token; all have one vocabulary" }];
    const { tokens, source, file } = revised.target;
    const padding = revised.rows - tokens.size;
    const notes = [...models.values()].map((model) => {
      const own = vocabularyOf(model.checkpoint)!;
      const known = [...tokens.keys()].filter((token) => own.has(token)).length;
      const other = tokens.size - known;
      return `${model.ref} has ${counted(known, "token")} of it${other > 0 ? `, and takes ${counted(other, "row")} from others` : ""}`;
    });
    const how = file === undefined ? `that of ${source.ref}` : `that of ${source.ref} with more tokens`;
    const rows = padding > 0 ? `, and ${counted(padding, "row")} without a token` : "";
    const message = `the vocabulary of the result is ${how}: ${counted(tokens.size, "token")}${rows}`;
    return [
      ...[message, ...notes].map((text): CheckProblem => ({ level: "note", message: text })),
      ...warnings.map((text): CheckProblem => ({ level: "warning", message: text })),
    ];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, hint } = error;
    return [{ level: "error", message, ...(hint !== undefined && { hint }) }];
  }
}
