/** What a recipe sets without effect. */
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { Parameters } from "../../checkpoint/lineage/recipe/settings.ts";
import { UserError } from "../../errors.ts";
import { didYouMean } from "../../method/nearest.ts";
import { flagOf } from "../../method/options.ts";
import { quote } from "../../text/quote.ts";
import type { MergeMethod } from "../contract.ts";
import { filtersOf, scalarsIn } from "./parameters.ts";

/** Parameters that mergekit takes and that change nothing, or not with every method. */
const WITHOUT_EFFECT = new Set(["int8_mask", "residual_weight", "rescale", "consensus_method"]);

type Method = Pick<MergeMethod, "name" | "options">;

/** All parameters of a recipe, with the model that those of one model are for. */
function* scopesOf(recipe: Recipe): Generator<readonly [parameters: Parameters, ofModel?: string]> {
  yield [recipe.parameters];
  for (const module of recipe.modules) {
    yield [module.parameters];
    const slices = module.body.kind === "slices" ? module.body.slices : [];
    for (const slice of slices) yield [slice.parameters];
    const sources = module.body.kind === "models" ? module.body.models : slices.flatMap((slice) => slice.sources);
    for (const source of sources) yield [source.parameters, source.ref.path];
  }
}

/** Unknown names, and values for a single model of what is one value for all. */
export function unusedParameters(recipe: Recipe, method: Method): string[] {
  const warnings = new Set<string>();
  const known = Object.keys(method.options);
  for (const [parameters, ofModel] of scopesOf(recipe))
    for (const name of parameters.keys()) {
      const spec = Object.hasOwn(method.options, name) ? method.options[name] : undefined;
      if (spec === undefined) {
        if (WITHOUT_EFFECT.has(name)) continue;
        const guess = didYouMean(name, known) ?? (known.length === 0 ? "it has none" : `it has ${known.join(", ")}`);
        warnings.add(`${method.name} has no parameter ${name}; ${guess}`);
      } else if (spec.per !== "model" && ofModel !== undefined) {
        warnings.add(
          `${name} is one value for all models of ${method.name}; the one given for ${ofModel} alone has no effect`,
        );
      }
    }
  return [...warnings];
}

/** Filters that are part of no tensor's name. `names`: those of the models, and of the result. */
export function unmatchedFilters(recipe: Recipe, names: readonly string[]): string[] {
  const warnings = new Set<string>();
  for (const [parameters] of scopesOf(recipe))
    for (const [parameter, setting] of parameters)
      for (const filter of filtersOf(setting))
        if (!names.some((name) => name.includes(filter)))
          warnings.add(
            `${parameter}: no tensor has ${quote(filter)} in its name, so the value beside it has no effect`,
          );
  return [...warnings];
}

/** As it is compared with what an option's `with` asks for: YAML 1.1 has several words for true. */
const wordOf = (value: unknown): string => (/^(true|yes|on|1)$/i.test(String(value)) ? "true" : String(value));

/**
 * Throws UserError for a parameter that has no effect without some value of another, which no scope of the recipe sets:
 * what a method's options declare by `with`.
 */
export function refuseIdle(recipe: Recipe, { name: method, options }: Method): void {
  const given = (name: string): unknown[] =>
    [...scopesOf(recipe)].flatMap(([parameters]) => scalarsIn(parameters.get(name)));
  for (const [name, spec] of Object.entries(options)) {
    const wanted = Object.entries(spec.with ?? {});
    if (wanted.length === 0 || !given(name).some((value) => value !== spec.default)) continue;
    const isSet = ([other, texts]: (typeof wanted)[number]) =>
      [...given(other), options[other]?.default].some((value) => [texts].flat().includes(wordOf(value)));
    if (wanted.some(isSet)) continue;
    const [other, texts] = wanted[0]!;
    const asked = [texts].flat().join(" or ");
    throw new UserError(
      `${recipe.file === "command line" ? flagOf(name) : `${recipe.file}: ${name}`} has no effect on ${method} without ${other}`,
      asked === "true" ? `give ${flagOf(other)}, or leave it out` : `set ${other} to ${asked}, or leave it out`,
    );
  }
}
