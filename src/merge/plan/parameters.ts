/**
 * The value of a merge parameter for one tensor: by the tensor's name and by its depth. The semantics are mergekit's;
 * how recipes write values is in src/checkpoint/lineage/recipe/settings.ts.
 */
import type { Conditional, Parameters, Scalar, Setting } from "../../checkpoint/lineage/recipe/settings.ts";

const isConditional = (entry: Scalar | Conditional): entry is Conditional => typeof entry === "object";

/** Whether the setting is a list of `{filter, value}`. */
const isFiltered = (setting: Setting): setting is readonly Conditional[] =>
  Array.isArray(setting) && setting.length > 0 && isConditional(setting[0] as Scalar | Conditional);

/** The filters of a setting, but for those that match every name. */
export const filtersOf = (setting: Setting): string[] =>
  isFiltered(setting) ? setting.flatMap(({ filter }) => (filter === undefined || filter === "*" ? [] : [filter])) : [];

/** All values of a setting, whatever they are for; none of one that is not there. */
export const scalarsIn = (setting: Setting | undefined): Scalar[] => {
  if (setting === undefined) return [];
  const values: readonly (Scalar | readonly Scalar[])[] = isFiltered(setting)
    ? setting.map(({ value }) => value)
    : [setting as Scalar | readonly Scalar[]];
  return values.flatMap((value) => (Array.isArray(value) ? (value as readonly Scalar[]) : [value as Scalar]));
};

/** The value that applies to `name` before depth is looked at; undefined when every filter misses. */
function filtered(setting: Setting, name: string): Scalar | readonly Scalar[] | undefined {
  if (!isFiltered(setting)) return setting as Scalar | readonly Scalar[];
  return setting.find(({ filter }) => filter === undefined || filter === "*" || name.includes(filter))?.value;
}

/**
 * A gradient at depth `t` in [0, 1]: n anchors at i / (n - 1), linear between them. Lists with anything but numbers are
 * steps: entry floor(t (n - 1)).
 */
export function atDepth(anchors: readonly Scalar[], t: number): Scalar {
  const last = anchors.length - 1;
  const position = t * last;
  const low = Math.min(Math.floor(position), last);
  if (!anchors.every((anchor) => typeof anchor === "number")) return anchors[low]!;
  const share = position - low;
  const high = Math.min(low + 1, last);
  return (1 - share) * (anchors[low] as number) + share * (anchors[high] as number);
}

/**
 * The value of a setting for one tensor. `depth` is the place of its layer in the slice, 0 first and 1 last; undefined
 * outside the layers, where mergekit takes the first anchor, before the stack and after it. Undefined when no filter
 * matches.
 */
export function evaluate(setting: Setting, name: string, depth: number | undefined): Scalar | undefined {
  const value = filtered(setting, name);
  return Array.isArray(value) ? atDepth(value, depth ?? 0) : (value as Scalar | undefined);
}

/** Depth of layer `index` among `count` layers of a slice; the only layer of a slice is its end. */
export const depthOf = (index: number, count: number): number => (count === 1 ? 1 : index / (count - 1));

/**
 * Looks a parameter up from the narrowest scope to the widest (source, slice, module, whole recipe). A scope in which
 * no filter matches is skipped. With `whole`, a list is the value itself, not a gradient.
 */
export function lookUp(
  scopes: readonly (Parameters | undefined)[],
  parameter: string,
  name: string,
  depth: number | undefined,
  whole = false,
): Scalar | readonly Scalar[] | undefined {
  for (const scope of scopes) {
    const setting = scope?.get(parameter);
    if (setting === undefined) continue;
    const value = whole ? filtered(setting, name) : evaluate(setting, name, depth);
    if (value !== undefined) return value;
  }
  return undefined;
}
