/**
 * The methods that options choose: `--method`, and every option with a `kind` (`--optimizer`, `--metric`). One
 * mechanism for all: the name comes from a flag, the environment, a config or a default, the registry loads it, and its
 * options join the table of flags.
 */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { bind } from "../method/bind.ts";
import { flagOf, type OptionSpec, type Options } from "../method/options.ts";
import { loadMethod, type MethodInfo, type MethodSource } from "../method/registry.ts";
import { elementOf } from "../method/validate.ts";
import { repeated } from "../text/repeated.ts";
import type { PlainCommand } from "./context.ts";
import { peekAll } from "./parse.ts";
import type { Config } from "./sources.ts";

export interface Choice {
  /** The option's name: "method", "optimizer". */
  readonly option: string;
  readonly source: MethodSource;
  readonly methods: readonly MethodInfo[];
  /** False where the methods are the default. */
  readonly said: boolean;
}

/** What names the methods of an option, and where that was said. */
function namesFor(option: string, argv: readonly string[], config: Config | undefined) {
  const typed = peekAll(argv, flagOf(option));
  if (typed.length > 0) return { texts: typed, origin: flagOf(option) };
  const variable = `INGOT_${option.toUpperCase()}`;
  const text = process.env[variable];
  if (text) return { texts: [text], origin: variable };
  for (const [key, texts] of config?.entries ?? [])
    if (key.replaceAll("-", "_") === option) return { texts, origin: `${key} in ${config!.file}` };
  return undefined;
}

async function choose(
  option: string,
  source: MethodSource,
  several: boolean,
  fallback: readonly string[],
  argv: readonly string[],
  config: Config | undefined,
): Promise<Choice> {
  const named = namesFor(option, argv, config);
  const names =
    named === undefined ? fallback : several ? named.texts.flatMap((text) => text.split(",")) : named.texts.slice(-1);
  const origin = named?.origin ?? flagOf(option);
  const methods: MethodInfo[] = [];
  for (const name of names) methods.push(await loadMethod(source, name, origin));
  const twice = repeated(methods.map(({ name }) => name));
  if (twice !== undefined) throw new UserError(`${origin} names ${twice} twice`, "name it once");
  return { option, source, methods, said: named !== undefined };
}

const isSeveral = (spec: OptionSpec): boolean => elementOf(spec.type) !== undefined;

const defaultNames = ({ default: value }: OptionSpec): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value.map(String) : [String(value)];

/** What `--method` chooses, where the script has methods. Throws UserError for a name that no method has. */
export async function chosenMethod(
  { methods, defaultMethod }: Pick<PlainCommand, "methods" | "defaultMethod">,
  argv: readonly string[],
  config?: Config,
): Promise<Choice | undefined> {
  if (methods === undefined) return undefined;
  return choose("method", methods, false, defaultMethod === undefined ? [] : [defaultMethod], argv, config);
}

/** What the options with a `kind` choose, in the order of the table. Throws UserError for a name that no method has. */
export async function chosenPicks(options: Options, argv: readonly string[], config?: Config): Promise<Choice[]> {
  const found: Choice[] = [];
  for (const [option, spec] of Object.entries(options))
    if (spec.kind !== undefined)
      found.push(await choose(option, spec.kind, isSeveral(spec), defaultNames(spec), argv, config));
  return found;
}

/**
 * The options of the chosen methods. An option that several of them have is one option. Throws Error where its types
 * differ, which is a mistake in the source.
 */
export function optionsOf(methods: readonly MethodInfo[]): Options {
  const joined: Record<string, OptionSpec> = {};
  for (const { name: method, options } of methods)
    for (const [name, spec] of Object.entries(options)) {
      const other = joined[name];
      if (other !== undefined && other.type !== spec.type)
        throw new Error(`option ${name} of ${method} has another type than in ${methods[0]!.name}`);
      joined[name] ??= spec;
    }
  return joined;
}

/** Without a default: what was given shows, and each method fills in its own. */
const bare = ({ default: _default, ...spec }: OptionSpec): OptionSpec => spec;

/** A script's table with the options of the methods that its options choose, each group where its option wants it. */
export function withPicks(options: Options, picks: readonly Choice[]): Options {
  const inserted = new Map<string, [string, OptionSpec][]>();
  const seen: Record<string, OptionSpec> = {};
  for (const { option, methods } of picks) {
    const after = options[option]!.optionsAfter ?? option;
    const entries = Object.entries(optionsOf(methods)).filter(([name, { type }]) => seen[name]?.type !== type);
    for (const [name, spec] of entries) seen[name] = spec;
    // An option that stands nearer to the place comes first.
    const own = entries.map(([name, spec]) => [name, bare(spec)] as [string, OptionSpec]);
    inserted.set(
      after,
      after === option ? [...own, ...(inserted.get(after) ?? [])] : [...(inserted.get(after) ?? []), ...own],
    );
  }
  const entries = Object.entries(options).flatMap(([name, spec]) => [
    [name, spec] as const,
    ...(inserted.get(name) ?? []),
  ]);
  const twice = entries.find(([name], i) => entries.findIndex(([other]) => other === name) !== i);
  if (twice) throw new Error(`option ${twice[0]} is defined twice`);
  return Object.fromEntries(entries);
}

/** The chosen methods, each with the values that were given and its own defaults for the others. */
export const bindPicks = (
  picks: readonly Choice[],
  values: Readonly<Record<string, unknown>>,
): Record<string, readonly Bound[]> =>
  Object.fromEntries(
    picks.map(({ option, methods }) => [
      option,
      methods.map((method) =>
        bind(
          method,
          Object.fromEntries(
            Object.entries(method.options).map(([name, spec]) => [name, values[name] ?? structuredClone(spec.default)]),
          ),
        ),
      ),
    ]),
  );
