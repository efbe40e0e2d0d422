/** Shares of groups: by size, as given, or of named groups; and the options for them. */

import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { normalised, uniform } from "../run/simplex.ts";
import { repeated } from "../text/repeated.ts";
import type { GroupSize } from "./contract.ts";

type Groups = readonly GroupSize[];

export const MIXTURE = {
  type: "number[]",
  help: "share of every group, in their order, scaled to sum to 1",
} as const;

export const SHARES = {
  type: "'size' | 'uniform'",
  default: "size",
  help: "how groups are drawn: in proportion to their rows, or equally",
} as const;

export const EVERY = { type: "number.integer >= 1", default: 50, help: "steps from one update to the next" } as const;

/** Natural shares of rows, flattened by a temperature: p_i in proportion to n_i^(1/T). */
export const bySize = (groups: Groups, temperature = 1): number[] =>
  normalised(groups.map(({ rows }) => rows ** (1 / temperature)));

export const sharesOf = (how: "size" | "uniform", groups: Groups): number[] =>
  how === "size" ? bySize(groups) : uniform(groups.length);

/** One value per group. Throws UserError naming the option. */
export function perGroup(given: readonly number[], groups: Groups, flag: string): readonly number[] {
  if (given.length !== groups.length) {
    throw new UserError(
      `${flag} has ${given.length} values but there are ${groups.length} groups`,
      `give one for each of ${groups.map(({ name }) => name).join(", ")}`,
    );
  }
  const wrong = given.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw new UserError(`${flag}: ${wrong} is not a finite number`);
  return given;
}

/** Shares as given, scaled to sum to 1; undefined when left out. Throws UserError naming the option. */
export function mixtureOf(given: readonly number[] | undefined, groups: Groups, flag = "--mixture") {
  if (given === undefined) return undefined;
  const wrong = perGroup(given, groups, flag).find((share) => share < 0);
  if (wrong !== undefined) throw new UserError(`${flag}: ${wrong} is below 0`, "a share is 0 or more");
  if (given.every((share) => share === 0)) throw new UserError(`${flag}: all shares are 0`, "some group must be drawn");
  return normalised(given);
}

/**
 * Positions of groups by name, several in one text with commas. Throws UserError naming the option and the nearest
 * name.
 */
export function placesOf(given: readonly string[], groups: Groups, flag: string): number[] {
  const all = groups.map(({ name }) => name);
  const names = given.flatMap((name) => (all.includes(name) ? [name] : name.split(",")));
  const twice = repeated(names);
  if (twice !== undefined) throw new UserError(`${flag} names ${twice} twice`, "name it once");
  return names.map((name) => {
    const place = all.indexOf(name);
    if (place >= 0) return place;
    const near = nearest(name, all);
    const hint = near ? `did you mean ${near}?` : `the groups are ${all.join(", ")}`;
    throw new UserError(`${flag}: there is no group ${name}`, hint);
  });
}

/** Shares of all groups from those of some: the others get 0. */
export function sharesAmong(places: readonly number[], weights: readonly number[]): number[] {
  return normalised(weights.map((weight, i) => (places.includes(i) ? weight : 0)));
}

/** A number of steps, given as such or, below 1, as a share of all; at least 1. */
export const wholeSteps = (given: number, steps: number): number =>
  Math.max(1, Math.round(given < 1 ? given * steps : given));

/** Throws UserError unless there are at least two groups. */
export function atLeastTwo(groups: Groups, method: string): void {
  if (groups.length < 2) {
    throw new UserError(
      `--method ${method} needs at least two groups, found ${groups.length}`,
      "give --data name=file once for each",
    );
  }
}
