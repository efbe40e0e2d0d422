/**
 * What is kept of a run on small networks, so that another one goes on from there bit for bit: numbers by name, in f64.
 */
import { UserError } from "../../errors.ts";

export type Numbers = Readonly<Record<string, Float64Array>>;

export interface Kept {
  /** Copies. */
  state(): Numbers;
  /** Throws UserError for what another one left. */
  load(numbers: Numbers): void;
}

/** The numbers of a name, `length` of them where that is known. Throws UserError. */
export function numbersOf(numbers: Numbers, name: string, length?: number): Float64Array {
  const found = numbers[name];
  if (found !== undefined && (length === undefined || found.length === length)) return found;
  throw new UserError(
    `the saved state has ${found === undefined ? "no" : `${found.length} values of`} ${name}`,
    "it was written by another version: remove its folder, and begin again",
  );
}

/** Those whose names begin with `part.`, without it. */
const under = (numbers: Numbers, part: string): Numbers =>
  Object.fromEntries(
    Object.entries(numbers).flatMap(([name, values]) =>
      name.startsWith(`${part}.`) ? [[name.slice(part.length + 1), values]] : [],
    ),
  );

/** Several as one, whose names are `part.name`. */
export function keptTogether(parts: Readonly<Record<string, Kept>>): Kept {
  return {
    state: () =>
      Object.fromEntries(
        Object.entries(parts).flatMap(([part, kept]) =>
          Object.entries(kept.state()).map(([name, values]) => [`${part}.${name}`, values]),
        ),
      ),
    load(numbers) {
      for (const [part, kept] of Object.entries(parts)) kept.load(under(numbers, part));
    },
  };
}
