/** What the lineage of a merge says of it. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { GGUF } from "../checkpoint/gguf/write/options.ts";
import { lineageOf } from "../checkpoint/lineage/input.ts";
import { type Recipe, recipeReferences } from "../checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../checkpoint/reference.ts";
import type { Context } from "./commands/given-recipes.ts";

/** What is needed of the context of a script. */
type Given = Pick<Context, "picks" | "version" | "raw" | "set" | "seed"> & {
  readonly options: Readonly<Record<string, unknown>>;
  warn(message: string): void;
};

/** The seed of a run: mergekit's option before the common one. */
export const seedOf = (context: Pick<Given, "options" | "seed">): number =>
  (context.options.random_seed as number | undefined) ?? context.seed;

/** What the lineage of the result says of this step. Nothing in it depends on when or where it ran. */
export function historyOf(
  context: Given,
  recipe: Recipe,
  text: string | undefined,
  opened: ReadonlyMap<string, Checkpoint>,
  isLast: boolean,
  learnt: Readonly<Record<string, unknown>> = {},
) {
  const baseKey = recipe.base && referenceKey(recipe.base);
  const keys = [...new Set(recipeReferences(recipe).map(referenceKey))];
  const [post] = context.picks.post ?? [];
  const step = {
    script: "merge",
    version: context.version,
    method: recipe.method,
    options: {
      ...(text === undefined ? Object.fromEntries(context.raw) : { recipe: text }),
      ...(context.set.length > 0 && { set: context.set.map((s) => `${s.key}:${s.filter}=${s.value}`) }),
      ...(recipe.dtype && { dtype: recipe.dtype }),
      ...(recipe.outDtype && { out_dtype: recipe.outDtype }),
      ...(context.options.compat_rounding ? { compat_rounding: true } : {}),
      ...(context.options.compat_bugs === undefined ? {} : { compat_bugs: context.options.compat_bugs }),
      ...(context.options.allow_duplicates ? { allow_duplicates: true } : {}),
      ...(context.options.allow_missing ? { allow_missing: true } : {}),
      ...given(context, "align", "files", ...TOKENIZER_OPTIONS),
      ...learnt,
      ...(isLast && given(context, ...Object.keys(GGUF))),
      ...(post && { post: post.method.name, ...Object.fromEntries(Object.entries(post.values)) }),
    },
    seed: seedOf(context),
  };
  return lineageOf(
    step,
    keys.map((key) => ({ checkpoint: opened.get(key)!, role: key === baseKey ? "base" : "model" })),
    (text) => context.warn(text),
  );
}

/** Options of the vocabulary and the template of the result. */
const TOKENIZER_OPTIONS = [
  ...["tokenizer_source", "pad_to_multiple_of", "chat_template", "add_tokens", "add_special_tokens", "new_rows"],
  "numeric_tokens",
];

/** Those of the options that were given. */
const given = ({ options }: Pick<Given, "options">, ...names: string[]) =>
  Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
