/**
 * Values of merge parameters that change with depth and with the tensor's name.
 *
 * A setting is a scalar, a list of numbers (a gradient over depth), a list of other scalars (steps over depth), or a list of
 * `{filter, value}` in which the first entry whose filter is part of the tensor's name counts. The semantics are mergekit's.
 */

export type Scalar = number | boolean | string;

/** `filter` is a substring of the tensor's name; left out or `*` it matches every name. */
export interface Conditional {
  readonly filter?: string;
  readonly value: Scalar | readonly Scalar[];
}

export type Setting = Scalar | readonly Scalar[] | readonly Conditional[];

/** Settings by parameter name. */
export type Parameters = ReadonlyMap<string, Setting>;

const isConditional = (entry: Scalar | Conditional): entry is Conditional => typeof entry === "object";

/** Whether the setting is a list of `{filter, value}`. */
export const isFiltered = (setting: Setting): setting is readonly Conditional[] =>
  Array.isArray(setting) && setting.length > 0 && isConditional(setting[0] as Scalar | Conditional);

/** Every value a setting can take, without its filters: what a check of the whole recipe looks at. */
export const valuesOf = (setting: Setting): (Scalar | readonly Scalar[])[] =>
  isFiltered(setting) ? setting.map((entry) => entry.value) : [setting as Scalar | readonly Scalar[]];

/** The value that applies to `name` before depth is looked at; undefined when every filter misses. */
export function select(setting: Setting, name: string): Scalar | readonly Scalar[] | undefined {
  if (!isFiltered(setting)) return setting as Scalar | readonly Scalar[];
  return setting.find(({ filter }) => filter === undefined || filter === "*" || name.includes(filter))?.value;
}

/**
 * A gradient at depth `t` in [0, 1]: n anchors at i / (n - 1), linear between them. Lists with anything but numbers are steps:
 * entry floor(t (n - 1)).
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
 * outside the layers, where mergekit takes the first anchor, before the stack and after it. Undefined when no filter matches.
 */
export function evaluate(setting: Setting, name: string, depth: number | undefined): Scalar | undefined {
  const value = select(setting, name);
  return Array.isArray(value) ? atDepth(value, depth ?? 0) : (value as Scalar | undefined);
}

/** Depth of layer `index` among `count` layers of a slice; the only layer of a slice is its end. */
export const depthOf = (index: number, count: number): number => (count === 1 ? 1 : index / (count - 1));

/**
 * Looks a parameter up from the narrowest scope to the widest (source, slice, module, whole recipe). A scope in which no
 * filter matches is passed over. With `whole`, a list is the value itself, not a gradient.
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
    const value = whole ? select(setting, name) : evaluate(setting, name, depth);
    if (value !== undefined) return value;
  }
  return undefined;
}
