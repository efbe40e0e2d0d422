/** What can be typed behind `ingot`, from the tables of options: for completions and manual pages. */
import { flagOf, type OptionSpec, type Options } from "../method/options.ts";
import { loadMethods, type MethodSource, methodNames } from "../method/registry.ts";
import { elementOf, literalsOf } from "../method/validate.ts";
import type { AnyCommand } from "./context.ts";
import { definitionOf, framedScripts } from "./definitions.ts";
import { commonOptions } from "./shared-options.ts";

/** A flag as it is typed. */
export interface Word {
  readonly flag: string;
  readonly letter: string | undefined;
  readonly help: string;
  /** What its value may be, where that is a list; a switch has undefined, a value of any kind none. */
  readonly values: readonly string[] | undefined;
}

/** A script, or a sub-command of one: `curriculum`, `curriculum select`. */
export interface Typed {
  readonly name: string;
  readonly about: string;
  readonly words: readonly Word[];
  /** Names of its sub-commands. */
  readonly commands: readonly string[];
}

function valuesOf({ type, kind, lists }: OptionSpec): readonly string[] | undefined {
  if (type === "boolean") return undefined;
  const named = kind ?? lists;
  return named === undefined ? literalsOf(elementOf(type) ?? type) : methodNames(named);
}

function wordsOf(options: Options, methods: MethodSource | undefined): Word[] {
  return Object.entries(options).map(([name, spec]) => {
    const off = spec.type === "boolean" && spec.default === true;
    const chooses = name === "method" && methods !== undefined;
    return {
      flag: off ? flagOf(name).replace("--", "--no-") : flagOf(name),
      letter: spec.short,
      help: spec.help,
      values: chooses ? methodNames(methods) : valuesOf(spec),
    };
  });
}

/** Options of all methods that a command may choose, once each. */
async function methodOptions({ methods, options }: AnyCommand): Promise<Options> {
  const sources = [methods, ...Object.values(options).map(({ kind }) => kind)].filter((source) => source !== undefined);
  const found = await Promise.all([...new Set(sources)].map((source) => loadMethods(source)));
  return Object.assign({}, ...found.flat().map((method) => method.options));
}

async function typed(name: string, definition: AnyCommand, commands: readonly string[] = []): Promise<Typed> {
  const { about, methods, options } = definition;
  const others = { ...(await methodOptions(definition)), ...commonOptions(definition) };
  return { name, about, words: wordsOf({ ...options, ...others, ...options }, methods), commands };
}

/** Every script that keeps to the frame of scripts, each before its sub-commands; or those of one script. */
export async function typedWords(script?: string): Promise<Typed[]> {
  const found: Typed[] = [];
  for (const name of script === undefined ? framedScripts() : [script]) {
    const definition = await definitionOf(name);
    const { commands = {} } = definition;
    found.push(await typed(name, definition, Object.keys(commands)));
    for (const [sub, own] of Object.entries(commands)) found.push(await typed(`${name} ${sub}`, own));
  }
  return found;
}
