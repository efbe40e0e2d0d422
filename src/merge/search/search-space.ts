/**
 * From ranges of parameters to the genes of a search, and from a point of them to its recipe. A parameter with a value
 * per model is a gene per model; `granularity` gives every group of so many layers its own, as slices (mergekit's
 * genomes) or, with `smooth`, as the anchors of a gradient.
 */
import { referenceKey } from "../../checkpoint/reference.ts";
import { UserError } from "../../errors.ts";
import type { Point } from "../../run/searching/contract.ts";
import type { Gene, GeneValue, Space } from "../../run/searching/space.ts";
import type { MergeMethod } from "../contract.ts";
import { checkSpace } from "./check-space.ts";
import type { SearchRange } from "./ranges.ts";
import { type DocumentModel, type RecipeDocument, recipeYaml, type Settings } from "./recipe-document.ts";

export interface SpaceOptions {
  /** Layers of a group; 0: all layers are one. */
  readonly granularity: number;
  readonly smooth: boolean;
  /** Layers of the models. */
  readonly layers: number;
  /** Parameters whose values in the recipe nobody gave, so that the search need not begin there. */
  readonly assumed: readonly string[];
  /** What YAML names models by, as keys: equal for two ways to write one. */
  readonly keyOf: (model: unknown) => string;
}

/** A gene's place in a recipe. `model`: the position of its model; undefined where all share the value. */
interface Knob {
  readonly gene: Gene;
  readonly parameter: string;
  readonly filter: string | undefined;
  readonly model: number | undefined;
  readonly group: number;
}

export interface RecipeSpace {
  readonly space: Space;
  /** Models with values of their own. */
  readonly models: number;
  /** The recipe of a point, as YAML. */
  recipe(point: Point, remarks?: readonly string[]): Promise<string>;
}

/** First layer and the one after the last, of every group. */
function groupsOf({ granularity, layers }: SpaceOptions): [number, number][] {
  if (granularity === 0) return [[0, layers]];
  return Array.from({ length: Math.ceil(layers / granularity) }, (_, i) => [
    i * granularity,
    Math.min((i + 1) * granularity, layers),
  ]);
}

const nameOf = (model: unknown, keyOf: SpaceOptions["keyOf"]): string =>
  keyOf(model)
    .split(/[\\/]/)
    .findLast((part) => part !== "") ?? "model";

/** Short names of the models, each another. */
function namesOf(models: readonly DocumentModel[], keyOf: SpaceOptions["keyOf"]): string[] {
  const short = models.map(({ model }) => nameOf(model, keyOf));
  return short.map((name, i) => (short.indexOf(name) === short.lastIndexOf(name) ? name : `${name}.${i + 1}`));
}

/** Where the search begins: what the recipe says, the option's default, or the middle, whichever is in the range. */
function geneOf(name: string, { among }: SearchRange, given: unknown, usual: unknown): Gene {
  if (among.kind === "choice") {
    const { choices } = among;
    const start = [given, usual].find((value) => choices.includes(value as GeneValue)) as GeneValue | undefined;
    return { kind: "choice", name, choices, default: start ?? choices[0]! };
  }
  const { low, high } = among;
  const fits = (value: unknown): value is number => typeof value === "number" && value >= low && value <= high;
  if (among.kind === "integer") {
    const start = [given, usual].find((value) => fits(value) && Number.isInteger(value)) as number | undefined;
    return { kind: "integer", name, low, high, default: start ?? Math.round((low + high) / 2) };
  }
  const middle = among.log ? Math.sqrt(low * high) : (low + high) / 2;
  const start = [given, usual].find(fits) ?? middle;
  return { kind: "real", name, low, high, ...(among.log && { log: true }), default: start };
}

function knobsOf(
  ranges: readonly SearchRange[],
  document: RecipeDocument,
  method: MergeMethod,
  options: SpaceOptions,
): Knob[] {
  const { keyOf } = options;
  const base = document.base_model === undefined ? undefined : keyOf(document.base_model);
  const names = namesOf(document.models, keyOf);
  const groups = groupsOf(options);
  const merged = [...document.models.keys()].filter((i) => keyOf(document.models[i]!.model) !== base);
  return ranges.flatMap((range) => {
    const { parameter, filter } = range;
    const spec = method.options[parameter]!;
    // A base that only is the origin has no value of its own.
    const models = method.base === "input" ? [...document.models.keys()] : merged;
    const owners = spec.per === "model" ? models : [undefined];
    return owners.flatMap((model) =>
      groups.map((_, group) => {
        const owner = model === undefined ? "" : `.${names[model]!}`;
        const layers = groups.length === 1 ? "" : `.${group}`;
        const name = `${parameter}${filter === undefined ? "" : `:${filter}`}${owner}${layers}`;
        const scope = model === undefined ? document.parameters : document.models[model]!.parameters;
        const said = scope?.[parameter] ?? document.parameters?.[parameter];
        const given = options.assumed.includes(parameter) ? undefined : said;
        const gene = geneOf(name, range, given, spec.default);
        const position = model === undefined ? -1 : merged.indexOf(model);
        const isWeight = parameter === "weight" && gene.kind === "real" && position >= 0;
        return { gene: isWeight ? { ...gene, weightOf: position } : gene, parameter, filter, model, group };
      }),
    );
  });
}

/** Entries of a setting as a recipe writes them: one plain value, or a list of filters. */
function entriesOf(setting: unknown): { filter?: string; value: unknown }[] {
  if (setting === undefined) return [];
  if (Array.isArray(setting) && setting.some((entry) => typeof entry === "object" && entry !== null))
    return setting as { filter?: string; value: unknown }[];
  if (typeof setting === "object" && setting !== null && !Array.isArray(setting))
    return [setting as { filter?: string; value: unknown }];
  return [{ value: setting }];
}

/**
 * A scope's settings with searched values: filters that are searched come first, then those of the recipe, then the
 * value for all other tensors.
 */
function withValues(given: Settings | undefined, knobs: readonly Knob[], found: (knob: Knob) => unknown): Settings {
  const settings: Record<string, unknown> = { ...given };
  for (const parameter of new Set(knobs.map((knob) => knob.parameter))) {
    const own = knobs.filter((knob) => knob.parameter === parameter);
    const searched = own.map((knob) => ({
      ...(knob.filter !== undefined && { filter: knob.filter }),
      value: found(knob),
    }));
    const before = entriesOf(given?.[parameter]);
    const all = [
      ...searched.filter((entry) => "filter" in entry),
      ...before.filter((entry) => entry.filter !== undefined),
      ...[...searched, ...before].filter((entry) => entry.filter === undefined).slice(0, 1),
    ];
    settings[parameter] = all.length === 1 && all[0]!.filter === undefined ? all[0]!.value : all;
  }
  return settings;
}

const some = (settings: Settings): { parameters?: Settings } =>
  Object.keys(settings).length > 0 ? { parameters: settings } : {};

/** Gradients over depth mean something else within a slice. */
function refuseGradients(document: RecipeDocument): void {
  for (const scope of [document.parameters, ...document.models.map(({ parameters }) => parameters)])
    for (const [name, setting] of Object.entries(scope ?? {}))
      if (entriesOf(setting).some(({ value }) => Array.isArray(value)))
        throw new UserError(
          `${name} is a gradient over depth, which groups of layers would cut`,
          "give one value, search it, or use --smooth",
        );
}

/**
 * The space of a recipe. Throws UserError for an empty space, two ranges of one parameter, and gradients beside groups
 * of layers.
 */
export function recipeSpace(
  ranges: readonly SearchRange[],
  document: RecipeDocument,
  method: MergeMethod,
  options: SpaceOptions,
): RecipeSpace {
  const knobs = knobsOf(ranges, document, method, options);
  const space = knobs.map(({ gene }) => gene);
  checkSpace(space);
  const groups = groupsOf(options);
  const isSliced = groups.length > 1 && !options.smooth;
  if (isSliced) refuseGradients(document);
  const { merge_method, base_model, rest } = document;
  const head = { merge_method, ...(base_model !== undefined && { base_model }) };
  const isListed = document.models.some(({ model }) => options.keyOf(model) === options.keyOf(base_model));
  // A slice takes nothing but its sources.
  const originOf = (group: number) =>
    base_model === undefined || isListed ? [] : [{ model: base_model, layer_range: groups[group] }];

  /** Settings of a scope where `group` is all of the layers, or one group. */
  const scoped = (given: Settings | undefined, model: number | undefined, point: Point, group?: number) => {
    const own = knobs.filter((knob) => knob.model === model && (group === undefined || knob.group === group));
    const at = (knob: Knob) => point.values[knobs.indexOf(knob)]!;
    if (group !== undefined || groups.length === 1) return withValues(given, own, at);
    const first = own.filter((knob) => knob.group === 0);
    const anchors = (knob: Knob) =>
      own.filter((other) => other.parameter === knob.parameter && other.filter === knob.filter).map(at);
    return withValues(given, first, anchors);
  };
  const sources = (point: Point, group?: number) =>
    document.models.map(({ model, parameters }, i) => ({
      model,
      ...(group !== undefined && { layer_range: groups[group] }),
      ...some(scoped(parameters, i, point, group)),
    }));
  const bodyOf = (point: Point): Settings => {
    const extra = point.extra ?? {};
    if (!isSliced)
      return { models: sources(point), ...some({ ...scoped(document.parameters, undefined, point), ...extra }) };
    const slices = groups.map((_, group) => ({
      sources: [...sources(point, group), ...originOf(group)],
      ...some(scoped(undefined, undefined, point, group)),
    }));
    return { slices, ...some({ ...document.parameters, ...extra }) };
  };
  return {
    space,
    models: document.models.filter(
      ({ model }) => base_model === undefined || options.keyOf(model) !== options.keyOf(base_model),
    ).length,
    recipe: (point, remarks) => recipeYaml({ ...head, ...bodyOf(point), ...rest }, remarks),
  };
}

/** The key of a model as YAML names it: a text, or a map of path, revision and adapter. */
export function modelKey(parse: (text: string) => Parameters<typeof referenceKey>[0]): (model: unknown) => string {
  return (model) => (typeof model === "string" ? referenceKey(parse(model)) : JSON.stringify(model));
}
