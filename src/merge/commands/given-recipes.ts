/** The recipes of a merge: from a file, or one made of the command line. */
import { existsSync } from "node:fs";
import { orderRecipes } from "../../checkpoint/lineage/recipe/order-recipes.ts";
import { parseRecipe, recipeDtype } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import type { Recipe, TokenRule } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { AnyValues, PlainContext } from "../../cli/context.ts";
import { readText } from "../../cli/sources.ts";
import { numeralTokens, parseDigits } from "../../data/numeric/numerals.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { flagOf } from "../../method/options.ts";
import type { SearchMethod } from "../../run/searching/contract.ts";
import { quote } from "../../text/quote.ts";
import { repeated } from "../../text/repeated.ts";
import type { MergeMethod } from "../contract.ts";
import { type RecipeArguments, recipeFromArguments } from "../plan/arguments.ts";
import type { PostStep } from "../post-step.ts";

/** What `script()` gives, its options seen as a plain record. */
export type Context = PlainContext & {
  readonly options: AnyValues;
  readonly method: MergeMethod | undefined;
  readonly picks: {
    readonly post?: readonly Bound<PostStep>[];
    readonly search?: readonly Bound<SearchMethod>[];
    readonly metric?: readonly Bound[];
  };
};

const isRecipeFile = (name: string): boolean => /\.ya?ml$/i.test(name);

/** The text of an option. */
export const textOf = (context: Context, name: string): string | undefined =>
  context.options[name] as string | undefined;

function dtypeOption(context: Context, name: "dtype" | "out_dtype") {
  const text = textOf(context, name);
  if (text === undefined) return undefined;
  const dtype = recipeDtype(text);
  if (dtype === undefined)
    throw new UserError(
      `${flagOf(name)} ${text} is no type in which models are merged`,
      "use float32, float16 or bfloat16",
    );
  return dtype;
}

/** What arguments beside a recipe may have meant: the one that is no model, where the result goes. */
function placeFor(recipe: string, args: readonly string[]): string {
  const [other, ...more] = args.filter((arg) => arg !== recipe);
  if (other === undefined || more.length > 0) return "name the models in the recipe";
  return `for the result to go there: -o ${quote(other)}; models are named in the recipe`;
}

/** The file of recipes that was named, by --config or as an argument. */
export const recipeArgument = ({ recipe, args }: Context): string | undefined => recipe ?? args.find(isRecipeFile);

/** The recipes to run, in order; the last one is the output. `text`: of the file that holds them. */
export interface GivenRecipes {
  readonly recipes: readonly Recipe[];
  readonly text: string | undefined;
}

/** Options that a recipe has a key for. */
const IN_RECIPES: Readonly<Record<string, string>> = {
  tokenizer_source: "tokenizer_source",
  chat_template: "chat_template",
  add_tokens: "tokens",
  add_special_tokens: "tokens",
  numeric_tokens: "tokens",
};

/** Those that the arguments name or spell out. */
export async function readRecipes(context: Context): Promise<GivenRecipes> {
  const files = context.recipe ? [context.recipe] : context.args.filter(isRecipeFile);
  const dtype = dtypeOption(context, "dtype");
  const outDtype = dtypeOption(context, "out_dtype");
  if (files.length > 0) {
    if (files.length + context.args.filter((arg) => !isRecipeFile(arg)).length > 1) {
      throw new UserError(
        `a recipe takes no further arguments, found ${context.args.join(" ")}`,
        placeFor(files[0]!, context.args),
      );
    }
    if (context.method || context.raw.size > 0 || textOf(context, "base")) {
      throw new UserError(`${files[0]} sets the method and its parameters`, "leave out --method, --base and the like");
    }
    const own = Object.keys(IN_RECIPES).find((name) => textOf(context, name) !== undefined);
    if (own !== undefined)
      throw new UserError(`${flagOf(own)} is for a recipe to say`, `write ${IN_RECIPES[own]}: in ${files[0]}`);
    const text = recipeText(files[0]!);
    const recipes = orderRecipes(await parseRecipe(text, files[0]!));
    const changes = { ...(dtype && { dtype }), ...(outDtype && { outDtype }) };
    return { recipes: recipes.map((recipe) => ({ ...recipe, ...changes })), text };
  }
  if (!context.method) {
    throw new UserError("no --method and no recipe", "for example --method linear; --list shows all methods");
  }
  const stdin =
    context.args.length === 0 || (context.args.length === 1 && !context.args.includes("-") && !process.stdin.isTTY);
  const models = stdin && context.args.length === 0 ? ["-"] : context.args;
  const base = textOf(context, "base");
  const recipe = recipeFromArguments({
    models,
    ...(base === undefined ? {} : { base }),
    method: context.method,
    values: context.raw,
    filtered: context.set.map(({ key, filter, value }) => ({
      name: key,
      value,
      ...(filter !== undefined && { filter }),
    })),
    ...(dtype && { dtype }),
    ...(outDtype && { outDtype }),
    ...tokenizerOptions(context),
  });
  return { recipes: [recipe], text: undefined };
}

type TokenizerArguments = Pick<RecipeArguments, "tokenizerSource" | "padTo" | "chatTemplate" | "addedTokens">;

/**
 * The tokens of --add-tokens, --add-special-tokens and --numeric-tokens. Throws UserError for one that is empty or
 * named twice.
 */
function addedTokens(context: Context): TokenRule[] {
  const kind = (context.options.new_rows as "mean" | "pieces" | undefined) ?? "mean";
  const rules = ["add_tokens", "add_special_tokens"].flatMap((name): TokenRule[] => {
    const tokens = textOf(context, name)?.split(",") ?? [];
    const special = name === "add_special_tokens";
    if (tokens.includes(""))
      throw new UserError(`${flagOf(name)} ${textOf(context, name)} names a token of no text`, 'for example "<a>,<b>"');
    return tokens.map((token) => ({ token, special, force: false, source: { kind } }));
  });
  const digits = textOf(context, "numeric_tokens");
  const numerals = digits === undefined ? [] : numeralTokens(parseDigits(digits, "--numeric-tokens"));
  rules.push(
    ...numerals.map((token) => ({ token, special: false, force: false, source: { kind: "numeral" as const } })),
  );
  const twice = repeated(rules.map(({ token }) => token));
  if (twice !== undefined) throw new UserError(`${twice} is added twice`, "name it once");
  return rules;
}

function tokenizerOptions(context: Context): TokenizerArguments {
  const [tokenizerSource, chatTemplate] = [textOf(context, "tokenizer_source"), textOf(context, "chat_template")];
  const padTo = context.options.pad_to_multiple_of as number | undefined;
  return {
    ...(tokenizerSource !== undefined && { tokenizerSource }),
    ...(padTo !== undefined && { padTo }),
    addedTokens: addedTokens(context),
    ...(chatTemplate !== undefined && { chatTemplate }),
  };
}

/** The text of a recipe file. Throws UserError where it cannot be read. */
export function recipeText(file: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const other = file.replace(/\.(ya?ml)$/i, (_, ending) => (ending === "yml" ? ".yaml" : ".yml"));
    const near = other !== file && existsSync(other) ? `did you mean ${other}?` : "check the path";
    throw new UserError(`${file} cannot be read: ${(error as Error).message}`, near);
  }
}
