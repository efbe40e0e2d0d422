/**
 * The vocabulary of a merge that chooses one: which tokens, at which rows, and the tokenizer files that say so.
 *
 * mergekit's rules (https://github.com/arcee-ai/mergekit), but that the new tokens of a union join the model of the
 * tokenizer, with the merges that make them, where mergekit adds them beside it, so that they cut words in running
 * text.
 */
import type { TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../checkpoint/reference.ts";
import { countTokens, type Vocabulary, vocabularyOf } from "../../data/vocabulary.ts";
import type { NamedModel } from "../../model/names.ts";
import { TokenizerFile } from "./tokenizer-file.ts";

/** A model that takes part, with its vocabulary. */
export interface Known {
  readonly model: NamedModel;
  readonly tokens: Vocabulary;
}

export interface Target {
  readonly tokens: Vocabulary;
  /** Rows of tokens, without padding. */
  readonly size: number;
  /** The model whose tokenizer it is, or which the union begins with. */
  readonly source: NamedModel;
  /** The tokenizer.json that a union or further tokens make; undefined where it is that of `source`. */
  readonly file?: Uint8Array;
}

/** Every model with its vocabulary, by `referenceKey`. Throws UserError for one without a tokenizer.json. */
export function knownVocabularies(
  recipe: TokenizerRecipe,
  models: ReadonlyMap<string, NamedModel>,
): ReadonlyMap<string, Known> {
  return new Map(
    [...models].map(([key, model]) => {
      const tokens = vocabularyOf(model.checkpoint);
      if (tokens === undefined)
        throw recipe.fail(
          `${model.ref} has no tokenizer.json that says which row is which token`,
          "rows are compared by their tokens; put the file beside the weights",
        );
      return [key, { model, tokens }];
    }),
  );
}

/**
 * `first`: the base, or the first model. Throws UserError where the recipe names a model that is not merged, where a
 * token has no source, or where tokenizers of different kinds have no union.
 */
export function targetOf(
  recipe: TokenizerRecipe,
  known: ReadonlyMap<string, Known>,
  first: NamedModel,
  warnings: string[],
): Target {
  const { source: wanted } = recipe;
  const named = typeof wanted === "string" ? undefined : known.get(referenceKey(wanted));
  if (typeof wanted !== "string" && named === undefined)
    throw recipe.fail(
      `${referenceKey(wanted)} is not among the models`,
      `union, base, or one of ${[...known.keys()].join(", ")}`,
    );
  const source = named?.model ?? first;
  const file = new TokenizerFile(source, recipe);
  if (wanted === "union")
    for (const { model } of known.values()) if (model !== source) file.join(new TokenizerFile(model, recipe), warnings);
  for (const { token, source: from, special } of recipe.tokens) {
    if (file.tokens.has(token)) {
      if (from?.kind === "mean" || from?.kind === "pieces" || from?.kind === "numeral")
        warnings.push(`${token} is a token of ${source.ref} already, whose row stays`);
      continue;
    }
    if (from === undefined)
      throw recipe.fail(`${token} is in no tokenizer, and its row has no source`, "name one under its source");
    file.add(token, special);
  }
  const bytes = file.changed ? { file: file.bytes() } : {};
  return { tokens: file.tokens, size: countTokens(file.tokens), source, ...bytes };
}
