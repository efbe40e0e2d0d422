/**
 * A section is a run of output tensors made from the same inputs: all of a `models:` recipe, or one slice. Here it is
 * decided which of a recipe's models are merged and which one is the base.
 */

import type { Recipe, RecipeModule, RecipeSlice, RecipeSource } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { Parameters } from "../../checkpoint/lineage/recipe/settings.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import { quote } from "../../text/quote.ts";
import type { MergeMethod } from "../contract.ts";

export interface Input {
  readonly model: NamedModel;
  /** Which of the plan's models it is. */
  readonly index: number;
  /** Number of its first layer; 0 for whole models. */
  readonly first: number;
  readonly parameters: Parameters;
}

export interface Section {
  /** In the recipe's order; without the origin. */
  readonly inputs: readonly Input[];
  /** The base, for methods that treat it unlike the models. */
  readonly origin?: Input;
  /** Layers in a slice; undefined for whole models. */
  readonly layers?: number;
  /** Slice, module, recipe. */
  readonly scopes: readonly Parameters[];
  /** Where in the recipe, for messages: "slice 2: ", or nothing. */
  readonly where: string;
}

export interface SectionContext {
  readonly recipe: Recipe;
  readonly method: Pick<MergeMethod, "name" | "base" | "models">;
  readonly model: (ref: ModelReference) => NamedModel;
  /** The number of a model in the plan; `occurrence` distinguishes equal models of one section. */
  readonly indexOf: (ref: ModelReference, occurrence: number) => number;
  readonly allowDuplicates: boolean;
  readonly warnings: string[];
}

/**
 * The sections of a module in output order. Throws a UserError when base or number of models do not suit the method.
 */
export function sectionsOf(module: RecipeModule, context: SectionContext): Section[] {
  const { recipe } = context;
  const outer = [module.parameters, recipe.parameters];
  const named = module.name === undefined ? "" : `module ${module.name}: `;
  if (module.body.kind === "models") {
    return [section(module.body.models, recipe.base, true, [new Map(), ...outer], named, context)];
  }
  return module.body.slices.map((slice: RecipeSlice, i) => {
    const base = slice.base ?? recipe.base;
    const where = `${named}slice ${i + 1}: `;
    const built = section(slice.sources, base, false, [slice.parameters, ...outer], where, context);
    const [first, end] = slice.sources[0]!.layers!;
    return { ...built, layers: end - first };
  });
}

function section(
  listed: readonly RecipeSource[],
  base: ModelReference | undefined,
  addBase: boolean,
  scopes: readonly Parameters[],
  where: string,
  context: SectionContext,
): Section {
  const { method } = context;
  const sources = withoutDuplicates(listed, where, context);
  const baseKey = base === undefined ? undefined : referenceKey(base);
  const isBase = (source: RecipeSource): boolean => referenceKey(source.ref) === baseKey;
  const apart = method.base === "required" || method.base === "optional";

  if (base === undefined && method.base === "required") {
    const all = sources.length > method.models[1];
    throw new UserError(
      `${where}${method.name} needs a base model`,
      all ? oneIsBase(context.model(sources[0]!.ref).ref) : "give it with --base, or as base_model in a recipe",
    );
  }
  const found = sources.find(isBase);
  if (base !== undefined && found === undefined) {
    const name = context.model(base).ref;
    if (method.base === "none" && addBase) {
      const hint = "leave the base out, or list it among the models to have it merged like them";
      throw new UserError(`${where}${method.name} takes no base, found ${name}`, hint);
    }
    if (method.base === "required" && !addBase) {
      const hint = "a slice takes nothing but its sources: list the base among them, with its layer_range";
      throw new UserError(`${where}the base ${name} is not among the sources, and ${method.name} needs it`, hint);
    }
  }
  const appended: RecipeSource[] =
    base !== undefined && found === undefined && addBase && method.base !== "none"
      ? [{ ref: base, parameters: new Map() }]
      : [];
  const all = [...sources, ...appended];

  const origin = apart ? all.find(isBase) : undefined;
  const seen = new Map<string, number>();
  const input = (source: RecipeSource): Input => {
    const key = referenceKey(source.ref);
    const occurrence = seen.get(key) ?? 0;
    seen.set(key, occurrence + 1);
    return {
      model: context.model(source.ref),
      index: context.indexOf(source.ref, occurrence),
      first: source.layers?.[0] ?? 0,
      parameters: source.parameters,
    };
  };
  // Models are numbered before the base, so that random draws do not depend on where the base is listed.
  const inputs = all.filter((source) => source !== origin).map(input);
  checkCount(inputs, origin !== undefined, where, method);
  return { inputs, scopes, where, ...(origin !== undefined && { origin: input(origin) }) };
}

/**
 * mergekit keeps its inputs in a map by model, so that one listed twice counts once, in its first place, with the
 * values given last; in a slice even where the layers differ.
 */
function withoutDuplicates(
  sources: readonly RecipeSource[],
  where: string,
  context: SectionContext,
): readonly RecipeSource[] {
  const byKey = new Map<string, RecipeSource>();
  const twice = new Set<string>();
  for (const source of sources) {
    const key = referenceKey(source.ref);
    if (byKey.has(key)) twice.add(context.model(source.ref).ref);
    byKey.set(key, source);
  }
  if (twice.size === 0) return sources;
  const names = [...twice].join(", ");
  const last = sources.some(({ layers }) => layers !== undefined) ? "layers and parameters" : "parameters";
  if (context.allowDuplicates) {
    context.warnings.push(`${where}${names} is listed more than once and counts as often`);
    return sources;
  }
  context.warnings.push(
    `${where}${names} is listed more than once; it counts once, with the ${last} given last (--allow-duplicates counts all)`,
  );
  return [...byKey.values()];
}

/** Hint for models of which one was meant as the base. */
const oneIsBase = (ref: string): string => `one of them is the base: --base ${quote(ref)}, or base_model in a recipe`;

function checkCount(
  inputs: readonly Input[],
  hasOrigin: boolean,
  where: string,
  { name, models: [least, most], base }: Pick<MergeMethod, "name" | "base" | "models">,
): void {
  const count = inputs.length;
  if (count >= least && count <= most) return;
  const wanted =
    least === most ? `${least}` : most === Number.POSITIVE_INFINITY ? `at least ${least}` : `${least} to ${most}`;
  const besides = !hasOrigin && base !== "required" ? "" : " besides the base";
  const found = count === 0 ? "none" : `${count}: ${inputs.map(({ model }) => model.ref).join(", ")}`;
  const unit = wanted === "1" || wanted === "at least 1" ? "model" : "models";
  const few = "name another model";
  const many = base === "required" && count === most + 1 ? oneIsBase(inputs[0]!.model.ref) : "leave some out";
  throw new UserError(`${where}${name} merges ${wanted} ${unit}${besides}, found ${found}`, count < least ? few : many);
}
