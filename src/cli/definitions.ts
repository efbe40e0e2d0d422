/** What other scripts would make of a command line, without running them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../errors.ts";
import { didYouMean } from "../method/nearest.ts";
import { calledDefinition } from "./commands.ts";
import type { AnyDefinition, AnyValues, Output } from "./context.ts";
import { type Place, placesOf } from "./outputs.ts";
import { type Resolved, resolve } from "./resolve.ts";
import { reworded } from "./reword.ts";

const SCRIPTS = fileURLToPath(new URL("../../scripts/", import.meta.url));

/** Files of scripts that keep to the frame of scripts: importing one of the others would run it. */
const isFramed = (file: string): boolean => existsSync(file) && readFileSync(file, "utf8").includes("cli/script.ts");

let asked: ((definition: AnyDefinition) => void) | undefined;

const known = new Map<string, Promise<AnyDefinition>>();

/** Called by every script first: true where it was imported for what it declares, and must not run. */
export function isAsked(definition: AnyDefinition): boolean {
  // The one that runs is known from here: importing a file that still waits for itself would never end.
  if (asked === undefined) known.set(definition.name, Promise.resolve(definition));
  asked?.(definition);
  return asked !== undefined;
}

/** Imports a script, under an address of its own, for what it declares. */
async function declared(file: string): Promise<AnyDefinition> {
  let found: AnyDefinition | undefined;
  asked = (definition) => {
    found = definition;
  };
  try {
    await import(`${pathToFileURL(file).href}?declared`);
  } finally {
    asked = undefined;
  }
  if (!found) throw new Error(`${file} declares no script`);
  return found;
}

/** Names of the scripts that keep to the frame of scripts, in order. */
export const framedScripts = (): string[] =>
  readdirSync(SCRIPTS)
    .filter((each) => each.endsWith(".ts") && isFramed(join(SCRIPTS, each)))
    .map((each) => each.slice(0, -3))
    .sort();

/** The definition of a script. Throws UserError where there is none of that name. */
export function definitionOf(name: string): Promise<AnyDefinition> {
  const file = join(SCRIPTS, `${name}.ts`);
  if (!/^[a-z-]+$/.test(name) || !isFramed(file)) {
    const names = framedScripts();
    throw new UserError(`unknown script ${name}`, didYouMean(name, names) ?? `the scripts are ${names.join(", ")}`);
  }
  const definition = known.get(name) ?? declared(file);
  known.set(name, definition);
  return definition;
}

/** Where a script's file is. */
export const scriptFile = (name: string): string => join(SCRIPTS, `${name}.ts`);

export interface Understood extends Resolved {
  readonly definition: AnyDefinition;
  readonly output: Output;
  /** References that it reads, as they were typed; `-` is stdin. */
  readonly inputs: readonly string[];
  readonly places: readonly Place[];
}

/** What a script makes of its arguments. Throws the UserError that it would throw before any work. */
export async function understood(script: string, argv: readonly string[]): Promise<Understood> {
  const declaration = await definitionOf(script);
  const called = calledDefinition(declaration, await reworded(declaration, argv));
  const { definition } = called;
  const resolved = await resolve(definition, called.argv);
  const output =
    typeof definition.output === "function"
      ? definition.output(resolved.values as AnyValues, resolved.args)
      : (definition.output ?? "text");
  return { ...resolved, definition, output, ...placesOf(definition, resolved, output) };
}
