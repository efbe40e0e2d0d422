/**
 * The command line's form of a recipe: models, a method, and values such as `--weight 0.5,0.5 --t 0,0.5,1 --set
 * weight:mlp=0.2`.
 */

import type { Dtype } from "../../checkpoint/dtype.ts";
import type { Recipe, RecipeSource, TokenizerRecipe, TokenRule } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { Conditional, Parameters, Scalar, Setting } from "../../checkpoint/lineage/recipe/settings.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { UserError } from "../../errors.ts";
import { didYouMean } from "../../method/nearest.ts";
import type { OptionSpec, Options } from "../../method/options.ts";

/** `--set name:filter=value`; without a filter it is the same as `--name value`. */
export interface SetArgument {
  readonly name: string;
  readonly filter?: string;
  readonly value: string;
}

export interface RecipeArguments {
  readonly models: readonly string[];
  readonly base?: string;
  readonly method: { readonly name: string; readonly options: Options; readonly base: string };
  /** Values of the method's options as typed, by option name (`select_topk`) or flag (`select-topk`). */
  readonly values?: ReadonlyMap<string, string>;
  readonly filtered?: readonly SetArgument[];
  readonly dtype?: Dtype;
  readonly outDtype?: Dtype;
  /** `union`, `base` or a model. */
  readonly tokenizerSource?: string;
  readonly padTo?: number;
  /** Tokens that are added; under the base's tokenizer where no source is named. */
  readonly addedTokens?: readonly TokenRule[];
  readonly chatTemplate?: string;
}

/** Reads the argument of `--set`. Throws a UserError when it is not `name[:filter]=value`. */
export function parseSet(text: string): SetArgument {
  const parts = /^([A-Za-z_][\w-]*)(?::([^=]*))?=(.*)$/s.exec(text);
  if (parts === null || parts[3]!.trim() === "") {
    throw new UserError(`--set ${text} is not name[:filter]=value`, "for example --set weight:mlp=0.2,0.7");
  }
  const [, name, filter, value] = parts;
  return { name: name!, value: value!, ...(filter !== undefined && filter !== "" && { filter }) };
}

/**
 * Builds a recipe. An option with one value per model takes as many comma-separated values as there are models (a value
 * in brackets is a gradient over depth), or one that stands for all; for other options several values are a gradient
 * over depth. Filtered values come before the plain one, in the order given. Weights that are not given are 1.
 */
export function recipeFromArguments(given: RecipeArguments): Recipe {
  const { method, values = new Map(), filtered = [] } = given;
  // Kept as typed: the opener of checkpoints splits adapters and revisions itself, and knows which paths exist.
  const refs: ModelReference[] = given.models.map((path) => ({ path }));
  const base: ModelReference | undefined = given.base === undefined ? undefined : { path: given.base };
  // A method for which the base is one more model needs its values too; they may be given as the last of the list.
  const extra =
    base !== undefined && method.base === "input" && !refs.some((ref) => referenceKey(ref) === referenceKey(base));

  const settings = new Map<string, Conditional[]>();
  const perModel = new Map<string, Conditional[][]>();
  const add = (flag: string, typed: string, filter: string | undefined): void => {
    const name = flag.replaceAll("-", "_");
    const spec = Object.hasOwn(method.options, name) ? method.options[name] : undefined;
    if (spec === undefined) {
      const known = Object.keys(method.options);
      const hint = known.length === 0 ? `${method.name} has none` : `${method.name} has: ${known.join(", ")}`;
      throw new UserError(`unknown parameter ${name} of ${method.name}`, didYouMean(name, known) ?? hint);
    }
    const parsed = splitTop(typed).map((part) => parseValue(part, name));
    const entry = (value: Scalar | readonly Scalar[]): Conditional =>
      filter === undefined ? { value } : { filter, value };
    if (spec.per !== "model") {
      push(settings, name, entry(gradient(parsed, name, spec)));
      return;
    }
    const needed = refs.length + (extra ? 1 : 0);
    if (parsed.length !== 1 && parsed.length !== refs.length && parsed.length !== needed) {
      const hint = "give one value per model, or one for all; a gradient over depth goes in brackets: [0,1]";
      throw new UserError(`--${name.replaceAll("_", "-")} has ${parsed.length} values for ${refs.length} models`, hint);
    }
    if (spec.names === "own-checkpoint" && parsed.length < refs.length)
      throw new UserError(
        `--${name.replaceAll("_", "-")} names one checkpoint for ${refs.length} models, and each has its own`,
        "give one per model, in their order, separated by commas",
      );
    const lists = perModel.get(name) ?? Array.from({ length: needed }, () => []);
    perModel.set(name, lists);
    lists.forEach((list, i) => {
      const value = parsed.length === 1 ? parsed[0] : parsed[i];
      if (value !== undefined) list.push(entry(value));
    });
  };
  for (const { name, filter, value } of filtered) if (filter !== undefined) add(name, value, filter);
  for (const [name, value] of values) add(name, value, undefined);
  for (const { name, filter, value } of filtered) if (filter === undefined) add(name, value, undefined);

  // A recipe must say every weight, as mergekit's do; on the command line all models count alike if no weight is given.
  const typed = new Set([...values.keys(), ...filtered.flatMap((one) => (one.filter === undefined ? [one.name] : []))]);
  if (method.options.weight?.required && method.options.weight.per === "model" && !typed.has("weight")) {
    const lists = perModel.get("weight") ?? Array.from({ length: refs.length + (extra ? 1 : 0) }, () => []);
    perModel.set("weight", lists);
    for (const list of lists.slice(0, refs.length)) list.push({ value: 1 });
  }

  const models: RecipeSource[] = (extra ? [...refs, base!] : refs).map((ref, i) => {
    const own = [...perModel].map(([name, lists]): [string, Conditional[]] => [name, lists[i]!]);
    return { ref, parameters: toParameters(own) };
  });
  return {
    file: "command line",
    method: method.name,
    modules: [{ body: { kind: "models", models }, parameters: new Map() }],
    parameters: toParameters([...settings]),
    warnings: [],
    ...(base !== undefined && { base }),
    ...(given.dtype !== undefined && { dtype: given.dtype }),
    ...(given.outDtype !== undefined && { outDtype: given.outDtype }),
    ...(given.chatTemplate !== undefined && {
      chatTemplate: { wanted: given.chatTemplate, fail: (message, hint) => new UserError(`--${message}`, hint) },
    }),
    ...((given.tokenizerSource !== undefined || given.addedTokens?.length) && { tokenizer: tokenizerOf(given) }),
  };
}

function tokenizerOf({ tokenizerSource, addedTokens = [], padTo }: RecipeArguments): TokenizerRecipe {
  const source = tokenizerSource ?? "base";
  const flag = tokenizerSource === undefined ? "--add-tokens" : "--tokenizer-source";
  return {
    source: source === "union" || source === "base" ? source : { path: source },
    tokens: addedTokens,
    ...(padTo !== undefined && { padTo }),
    fail: (message, hint) => new UserError(`${flag}: ${message}`, hint),
  };
}

function push(into: Map<string, Conditional[]>, name: string, entry: Conditional): void {
  const list = into.get(name);
  if (list === undefined) into.set(name, [entry]);
  else list.push(entry);
}

/** A lone unfiltered value is written plainly, as a recipe would. */
function toParameters(settings: readonly (readonly [string, readonly Conditional[]])[]): Parameters {
  const parameters = new Map<string, Setting>();
  for (const [name, entries] of settings) {
    const only = entries.length === 1 ? entries[0] : undefined;
    if (only !== undefined && only.filter === undefined) parameters.set(name, only.value);
    else if (entries.length > 0) parameters.set(name, entries);
  }
  return parameters;
}

function gradient(
  parsed: readonly (Scalar | readonly Scalar[])[],
  name: string,
  spec: OptionSpec,
): Scalar | readonly Scalar[] {
  const whole = spec.type.includes("[]");
  if (parsed.length === 1 && (!whole || Array.isArray(parsed[0]))) return parsed[0]!;
  const flat = parsed.flat() as Scalar[];
  if (whole || (parsed.length === flat.length && flat.every((value) => typeof value === "number"))) return flat;
  throw new UserError(
    `${name} has ${parsed.length} values, expected one`,
    "several values are a gradient over depth, and must be numbers",
  );
}

/** Splits at commas outside brackets. */
function splitTop(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "[") depth++;
    else if (text[i] === "]") depth--;
    else if (text[i] === "," && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function parseValue(text: string, name: string): Scalar | readonly Scalar[] {
  const trimmed = text.trim();
  if (trimmed.startsWith("[") && trimmed.endsWith("]")) {
    return trimmed
      .slice(1, -1)
      .split(",")
      .map((part) => parseScalar(part, name));
  }
  return parseScalar(trimmed, name);
}

function parseScalar(text: string, name: string): Scalar {
  const trimmed = text.trim();
  if (trimmed === "" || /[[\]]/.test(trimmed)) {
    throw new UserError(`${name} has the value "${trimmed}", expected a number, a word, or [numbers]`);
  }
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  const number = Number(trimmed);
  return Number.isNaN(number) ? trimmed : number;
}
