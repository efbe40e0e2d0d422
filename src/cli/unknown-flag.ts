/**
 * What to say about a flag that is in no table: another method has it, another sub-command, or a name like it is there.
 */
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { flagOf, nameIn, type Options } from "../method/options.ts";
import { loadMethods, methodNames, nounsOf } from "../method/registry.ts";
import { quote } from "../text/quote.ts";
import type { Choice } from "./choices.ts";
import type { AnyDefinition } from "./context.ts";
import { flagHint, keyOf, peek } from "./parse.ts";
import { anyOf } from "./requirements.ts";
import { flagMeantBy, namesModel } from "./synonyms.ts";

/** The option that a flag as typed means here: `-k` is a letter of an option, or a name of one letter with one dash. */
function nameMeant(what: string, key: string, options: Options): string | undefined {
  const letter = /^-[^-]$/.test(what) ? Object.keys(options).find((name) => options[name]!.short === key) : undefined;
  return letter ?? nameIn(options, key);
}

/**
 * Throws UserError where methods that were not chosen have an option of this name. `what` names it: `--density`,
 * `density in run.yml`; `meant` is the flag here of what other tools call so.
 */
export async function refuseUnchosen(
  what: string,
  key: string,
  choices: readonly Choice[],
  meant?: string,
): Promise<void> {
  for (const { option, source, methods } of choices) {
    const having = (await loadMethods(source)).filter(({ options }) => nameMeant(what, key, options) !== undefined);
    if (having.length === 0) continue;
    const names = having.map(({ name }) => name);
    const flag = flagOf(nameMeant(what, key, having[0]!.options)!);
    if (methods.some(({ name }) => names.includes(name)))
      throw new UserError(`unknown option ${what}`, `its name has two dashes: ${flag}`);
    if (methods.length === 0 && option !== "method")
      throw new UserError(`${what} has no effect without ${flagOf(option)} ${anyOf(names)}`, "give both or neither");
    const chosen = methods.map(({ name }) => name).join(", ");
    const lacking = methods.length > 1 ? `none of ${chosen} has an option ${what}` : `${chosen} has no option ${what}`;
    const others = `${option === "method" ? "methods" : nounsOf(source)} with ${flag}: ${names.join(", ")}`;
    throw new UserError(
      methods.length === 0 ? `${what} needs a --method` : lacking,
      meant === undefined ? others : `here it is ${meant}; ${others}`,
    );
  }
}

/**
 * Throws UserError for a flag of the script that its sub-command lacks, or the other way round; `meant`: the flag that
 * says the same here.
 */
function refuseMisplaced(flag: string, definition: AnyDefinition, meant: string | undefined): void {
  const key = keyOf(flag);
  const { name, script, commands } = definition;
  const owner = Object.entries(commands ?? {}).find(([, { options }]) => nameIn(options, key) !== undefined);
  if (owner)
    throw new UserError(
      `${flag} has no effect without ${name} ${owner[0]}`,
      meant === undefined ? "give both or neither" : `here it is ${meant}`,
    );
  if (script === undefined) return;
  const siblings = Object.entries(script.commands ?? {}).filter(
    ([, { options }]) => nameIn(options, key) !== undefined,
  );
  if (
    nameIn(script.options, key) !== undefined ||
    (key === "method" && script.methods !== undefined) ||
    siblings.length > 0
  )
    throw new UserError(`${flag} has no effect in ${name}`, `leave it out; see --help for the options of ${name}`);
}

/** Throws UserError where a method is named by the wrong flag: `curriculum select --method lowest-loss`. */
function refuseWrongChooser(flag: string, typed: string | undefined, { options, script }: AnyDefinition): void {
  if (flag !== "--method" || (script?.methods === undefined && typed === undefined)) return;
  const choosers = Object.entries(options).filter(([, { kind }]) => kind !== undefined);
  for (const [option, { kind }] of choosers) {
    const near = typed === undefined ? undefined : nearest(typed, methodNames(kind!));
    if (near) throw new UserError("unknown option --method", `did you mean ${flagOf(option)} ${near}?`);
  }
  const [chooser] = choosers;
  if (chooser)
    throw new UserError(
      "unknown option --method",
      `${flagOf(chooser[0])} chooses: ${methodNames(chooser[1].kind!).join(", ")}`,
    );
}

/** Throws UserError for a flag that is unknown here; `all` is the table of known ones. */
export async function unknownFlag(
  flag: string,
  argv: readonly string[],
  all: Options,
  definition: AnyDefinition,
  choices: readonly Choice[],
): Promise<never> {
  await refuseUnchosen(flag, keyOf(flag), choices, flagMeantBy(keyOf(flag), all));
  refuseWrongChooser(flag, peek(argv, "--method"), definition);
  refuseMisplaced(flag, definition, flagMeantBy(keyOf(flag), all));
  const value = peek(argv, flag);
  if (namesModel(keyOf(flag)) && value !== undefined && /model|checkpoint/.test(definition.args ?? ""))
    throw new UserError(`unknown option ${flag}`, `a model has no flag: bun run ${definition.name} ${quote(value)}`);
  throw new UserError(`unknown option ${flag}`, flagHint(flag, all));
}
