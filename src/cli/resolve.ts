/** From arguments, environment and config to the values a script works with. */
import { UserError } from "../errors.ts";
import { didYouMean } from "../method/nearest.ts";
import type { Options } from "../method/options.ts";
import { loadMethod, loadMethods, type MethodInfo, type MethodSource } from "../method/registry.ts";
import { type Given, plainSettings, valuesOf } from "../method/validate.ts";
import type { PlainDefinition, SetEntry } from "./context.ts";
import { checkArgumentCount, flagHint, flagOf, keyOf, type Parsed, parseArguments, peek } from "./parse.ts";
import { commonOptions, joinTables } from "./shared-options.ts";
import { type Config, fromEnvironment, matchConfig, readConfig } from "./sources.ts";

export interface Resolved {
  readonly args: string[];
  /** Common and script options. */
  readonly values: Record<string, unknown>;
  readonly method: MethodInfo | undefined;
  readonly settings: Record<string, unknown>;
  readonly raw: Map<string, string>;
  readonly set: SetEntry[];
  readonly recipe: string | undefined;
}

/** Which method is meant, and where that was said. */
function methodChoice(argv: readonly string[], config: Config | undefined, fallback: string | undefined) {
  const typed = peek(argv, "--method");
  if (typed !== undefined) return { name: typed, origin: "--method" };
  if (process.env.INGOT_METHOD) return { name: process.env.INGOT_METHOD, origin: "INGOT_METHOD" };
  const entry = config?.entries.get("method")?.[0];
  if (entry !== undefined) return { name: entry, origin: `method in ${config!.file}` };
  return fallback === undefined ? undefined : { name: fallback, origin: "--method" };
}

/** Loads the method that the arguments choose, if the script has methods and one is chosen. */
export async function chosenMethod(
  methods: MethodSource | undefined,
  argv: readonly string[],
  config?: Config,
  fallback?: string,
): Promise<MethodInfo | undefined> {
  const choice = methods === undefined ? undefined : methodChoice(argv, config, fallback);
  return choice && loadMethod(methods!, choice.name, choice.origin);
}

/** Resolves everything or throws a UserError for the first thing that is wrong. */
export async function resolve(definition: PlainDefinition, argv: readonly string[]): Promise<Resolved> {
  const configFile = peek(argv, "--config");
  const config = configFile === undefined ? undefined : await readConfig(configFile, definition.isRecipe);
  const method = await chosenMethod(definition.methods, argv, config ?? undefined, definition.defaultMethod);

  const own = joinTables(commonOptions(definition.methods), definition.options);
  const all = joinTables(own, method?.options ?? {});
  const { args, given: typed } = await parseArguments(argv, all, (flag) =>
    unknownFlag(flag, all, definition.methods, method),
  );
  checkArgumentCount(args, definition.args ?? "");

  const { set, settled } = readSet(typed, method, definition.methodOptions === "raw");
  const given = new Map<string, Given>([
    ...(config ? matchConfig(config, all) : []), // weakest first: later entries replace earlier ones
    ...fromEnvironment(all),
    ...[...settled].map(([name, texts]) => [name, { texts, origin: flagOf(name) }] as const),
  ]);

  const ofMethod = Object.keys(method?.options ?? {}).filter((name) => given.has(name));
  const raw = new Map(ofMethod.map((name) => [name, given.get(name)!.texts.join(",")]));
  return {
    args,
    values: await valuesOf(own, given),
    method,
    settings:
      definition.methodOptions === "raw"
        ? plainSettings(method?.options ?? {}, raw)
        : await valuesOf(method?.options ?? {}, given),
    raw,
    set,
    recipe: config === null ? configFile : undefined,
  };
}

/** Sorts `--set` into options of the method, which count as flags, and what the script reads itself. */
function readSet(typed: Parsed["given"], method: MethodInfo | undefined, rawOptions: boolean) {
  const settled = new Map(typed);
  const set: SetEntry[] = [];
  for (const text of typed.get("set") ?? []) {
    const match = /^([^=:]+)(?::([^=]*))?=(.*)$/s.exec(text);
    if (!match) throw new UserError(`--set: expected KEY=VALUE but found ${text}`, "for example --set density=0.3");
    const [, typedKey, filter, value] = match as unknown as [string, string, string | undefined, string];
    const key = typedKey.trim().replaceAll("-", "_");
    const known = Object.keys(method?.options ?? {});
    if (method && !known.includes(key)) {
      const options = known.length > 0 ? `its options are ${known.join(", ")}` : "it has no options";
      throw new UserError(`--set: ${method.name} has no option ${typedKey}`, didYouMean(typedKey, known) ?? options);
    }
    if (filter === undefined && method) settled.set(key, [...(settled.get(key) ?? []), value]);
    else if (rawOptions) set.push({ key, filter, value });
    else
      throw new UserError(
        `--set: ${text} has no meaning here`,
        method ? "only merge takes filters" : "choose a method with --method",
      );
  }
  return { set, settled };
}

async function unknownFlag(
  flag: string,
  all: Options,
  methods: MethodSource | undefined,
  method: MethodInfo | undefined,
): Promise<never> {
  const key = keyOf(flag);
  const others =
    methods === undefined ? [] : (await loadMethods(methods)).filter(({ options }) => Object.hasOwn(options, key));
  if (others.length > 0) {
    const names = others.map(({ name }) => name).join(", ");
    throw new UserError(
      method ? `${method.name} has no option ${flag}` : `${flag} needs a --method`,
      `methods with ${flag}: ${names}`,
    );
  }
  throw new UserError(`unknown option ${flag}`, flagHint(flag, all));
}
