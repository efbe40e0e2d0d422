/**
 * Values of merge parameters as recipes write them: a scalar, a list of numbers (a gradient over depth), a list of
 * other scalars (steps over depth), or a list of `{filter, value}` in which the first entry whose filter is part of the
 * tensor's name counts.
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
