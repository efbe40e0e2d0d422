/** The attacks and probes there are, the one that was asked for, and their options as options of `evaluate`. */

import { UserError } from "../errors.ts";
import type { OptionSpec, Options, Values } from "../method/options.ts";
import { loadMethod, loadMethods } from "../method/registry.ts";
import type { Technique } from "./technique.ts";

export type Kind = "attack" | "probe";

export const loadTechniques = (kind: Kind): Promise<Technique[]> => loadMethods(kind);

/**
 * Options of all attacks and probes. They have no default here, so that one that was given shows; help says what the technique
 * takes instead.
 */
export async function techniqueOptions(): Promise<Options> {
  const entries: [string, OptionSpec][] = [];
  for (const kind of ["attack", "probe"] as const) {
    for (const { name, options } of await loadTechniques(kind)) {
      for (const [option, { default: value, help, ...spec }] of Object.entries(options as Options)) {
        const without = value === undefined ? "" : `; ${Array.isArray(value) ? value.join(",") : value} when left out`;
        entries.push([option, { ...spec, help: `${name}: ${help}${without}` }]);
      }
    }
  }
  return Object.fromEntries(entries);
}

export interface ChosenTechnique {
  readonly kind: Kind;
  readonly technique: Technique;
  readonly values: Values<Options>;
}

const flagOf = (option: string): string => `--${option.replaceAll("_", "-")}`;

/** The technique that was asked for, and its values with its own defaults. Throws UserError. */
export async function chosenTechnique(given: Readonly<Record<string, unknown>>): Promise<ChosenTechnique | undefined> {
  if (given.attack !== undefined && given.probe !== undefined)
    throw new UserError("--attack and --probe are both given", "run them apart, one evaluate each");
  const kind = given.attack !== undefined ? "attack" : given.probe !== undefined ? "probe" : undefined;
  const technique = kind && (await loadMethod(kind, String(given[kind]), `--${kind}`));
  await refuseOthers(given, technique);
  if (!kind || !technique) return undefined;
  const values = Object.fromEntries(
    Object.entries(technique.options as Options).map(([name, spec]) => [name, given[name] ?? spec.default]),
  ) as Values<Options>;
  return { kind, technique, values };
}

/** Throws UserError for an option that belongs to a technique that was not asked for. */
async function refuseOthers(given: Readonly<Record<string, unknown>>, chosen: Technique | undefined): Promise<void> {
  for (const kind of ["attack", "probe"] as const) {
    for (const { name, options } of await loadTechniques(kind)) {
      const odd =
        name === chosen?.name ? undefined : Object.keys(options).find((option) => given[option] !== undefined);
      if (odd) throw new UserError(`${flagOf(odd)} has no effect without --${kind} ${name}`, "give both or neither");
    }
  }
}
