/** From arguments, environment and config to the values a script works with. */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { didYouMean, nearest } from "../method/nearest.ts";
import { flagOf, nameIn, type Options } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import { type Given, plainSettings, valuesOf } from "../method/validate.ts";
import { quote } from "../text/quote.ts";
import { bindPicks, chosenMethod, chosenPicks, withPicks } from "./choices.ts";
import type { AnyDefinition, SetEntry } from "./context.ts";
import { checkArgumentCount, keyOf, type Parsed, parseArguments, peek } from "./parse.ts";
import { checkRequirements } from "./requirements.ts";
import { refuseSeveralSeeds } from "./seeds.ts";
import { commonOptions, joinTables } from "./shared-options.ts";
import { fromEnvironment, matchConfig, readConfig } from "./sources.ts";
import { refuseUnchosen, unknownFlag } from "./unknown-flag.ts";

export interface Resolved {
  readonly args: string[];
  /** The script's own options, with those of the methods that they choose. */
  readonly options: Options;
  /** Values of common options and of `options`. Options of chosen methods are there only if they were given. */
  readonly values: Record<string, unknown>;
  readonly method: MethodInfo | undefined;
  readonly settings: Record<string, unknown>;
  readonly picks: Record<string, readonly Bound[]>;
  readonly raw: Map<string, string>;
  readonly set: SetEntry[];
  readonly recipe: string | undefined;
}

/** Resolves everything or throws a UserError for the first thing that is wrong. */
export async function resolve(definition: AnyDefinition, argv: readonly string[]): Promise<Resolved> {
  refuseSeveralSeeds(argv, definition);
  const configFile = peek(argv, "--config");
  const read = configFile === undefined ? undefined : await readConfig(configFile, definition.isRecipe);
  const config = read ?? undefined;
  const chosen = await chosenMethod(definition, argv, config);
  const method = chosen?.methods[0];
  const picks = await chosenPicks(definition.options, argv, config);
  const choices = chosen ? [chosen, ...picks] : picks;

  const options = withPicks(definition.options, picks);
  const own = joinTables(commonOptions(definition), options);
  const all = joinTables(own, method?.options ?? {});
  const { args, given: typed } = await parseArguments(argv, all, (flag) =>
    unknownFlag(flag, argv, all, definition, choices),
  );
  checkArguments(args, definition, all, argv);

  const isRaw = definition.methodOptions === "raw";
  const { set, settled } = readSet(typed, method, isRaw);
  const refuse = (key: string, what: string) => refuseUnchosen(what, key, choices);
  const given = new Map<string, Given>([
    ...(config ? await matchConfig(config, all, refuse) : []), // weakest first: later entries replace earlier ones
    ...fromEnvironment(all),
    ...[...settled].map(([name, texts]) => [name, { texts, origin: flagOf(name) }] as const),
  ]);

  const ofMethod = Object.keys(method?.options ?? {}).filter((name) => given.has(name));
  const raw = new Map(ofMethod.map((name) => [name, given.get(name)!.texts.join(",")]));
  const values = await valuesOf(own, given);
  for (const { option, methods } of picks) if (typeof values[option] === "string") values[option] = methods[0]!.name; // as the method spells it
  const settings = isRaw ? plainSettings(method?.options ?? {}, raw) : await valuesOf(method?.options ?? {}, given);
  checkRequirements(all, { ...values, ...settings, method: method?.name });
  return {
    args,
    options,
    values,
    method,
    settings,
    picks: bindPicks(picks, values),
    raw,
    set,
    recipe: read === null ? configFile : undefined,
  };
}

/** Throws UserError for too few arguments or too many, and where the first was meant as a sub-command. */
function checkArguments(
  args: readonly string[],
  { args: form = "", commands, name, examples, words = [] }: AnyDefinition,
  table: Options,
  argv: readonly string[],
): void {
  const list = spacedList(argv, table);
  if (list !== undefined)
    throw new UserError(`unexpected argument ${list.second}`, `values of a list have commas between: ${list.joined}`);
  const [first = ""] = args;
  const meant = /^[a-z-]{3,}$/.test(first) ? didYouMean(first, Object.keys(commands ?? {}), `${name} `) : undefined;
  if (meant !== undefined && !words.includes(first) && !fs.existsSync(first))
    throw new UserError(`${first} is no command of ${name}, and no file`, meant);
  try {
    checkArgumentCount(args, form, examples[0]);
  } catch (error) {
    const near = didYouMean(first, Object.keys(commands ?? {}), `${name} `) ?? meantBy(args.at(-1), table);
    throw near && error instanceof UserError ? new UserError(error.message, near) : error;
  }
}

/** Where an argument too many may belong: rows, or a model to compare with. */
function meantBy(argument: string | undefined, table: Options): string | undefined {
  if (argument === undefined) return undefined;
  const isRows = /\.(jsonl?|parquet|csv|tsv)(\.(gz|zst))?$|^hf:datasets\//.test(argument);
  const flag = isRows ? "data" : "diff";
  return Object.hasOwn(table, flag) ? `did you mean ${flagOf(flag)} ${quote(argument)}?` : undefined;
}

/** `--weight 0.5 0.3`: numbers after the first value of an option that takes a list. */
function spacedList(argv: readonly string[], table: Options): { second: string; joined: string } | undefined {
  for (const [i, flag] of argv.entries()) {
    const spec = flag.startsWith("--") ? table[nameIn(table, keyOf(flag)) ?? ""] : undefined;
    if (spec === undefined || (spec.per !== "model" && !/number.*\[\]$/.test(spec.type))) continue;
    const after = argv.slice(i + 1);
    const end = after.findIndex((text) => !/^-?\d*\.?\d+$/.test(text));
    const numbers = end < 0 ? after : after.slice(0, end);
    if (numbers.length > 1) return { second: numbers[1]!, joined: `${flag} ${numbers.join(",")}` };
  }
  return undefined;
}

/** How `--set` is written with the options of the method; with what was typed, where colons stood for the sign. */
function setHint(text: string, method: MethodInfo | undefined, isRaw: boolean): string {
  if (method === undefined) return "choose a method with --method";
  const known = Object.keys(method.options);
  if (known.length === 0) return `leave it out: ${method.name} has no options`;
  const [, key = "", filter, value = ""] = /^([^:]+):(?:(.*):)?([^:]+)$/.exec(text) ?? [];
  if (known.includes(key) && (filter === undefined || isRaw))
    return `did you mean --set ${quote(`${key}${filter === undefined ? "" : `:${filter}`}=${value}`)}?`;
  return `the keys of ${method.name} are ${known.join(", ")}: --set ${nearest(text, known) ?? known[0]}=VALUE`;
}

/** Sorts `--set` into options of the method, which count as flags, and what the script reads itself. */
function readSet(typed: Parsed["given"], method: MethodInfo | undefined, isRaw: boolean) {
  const settled = new Map(typed);
  const set: SetEntry[] = [];
  for (const text of typed.get("set") ?? []) {
    const match = /^([^=:]+)(?::([^=]*))?=(.*)$/s.exec(text);
    const known = Object.keys(method?.options ?? {});
    if (!match) throw new UserError(`--set: expected KEY=VALUE but found ${text}`, setHint(text, method, isRaw));
    const [, typedKey = "", filter, value = ""] = match;
    const named = typedKey.trim().replaceAll("-", "_");
    const key = nameIn(method?.options ?? {}, named) ?? named;
    if (method && !known.includes(key)) {
      const options = known.length > 0 ? `its options are ${known.join(", ")}` : "it has no options";
      throw new UserError(`--set: ${method.name} has no option ${typedKey}`, didYouMean(typedKey, known) ?? options);
    }
    if (filter === undefined && method) settled.set(key, [...(settled.get(key) ?? []), value]);
    else if (isRaw) set.push({ key, filter, value });
    else
      throw new UserError(
        `--set: ${text} has no meaning here`,
        method ? "only merge takes filters" : "choose a method with --method",
      );
  }
  return { set, settled };
}
