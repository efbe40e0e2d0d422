/**
 * Command-line arguments to texts: which option was given, and what was typed for it, letter for letter.
 *
 * cac splits the arguments, but it guesses: numbers lose digits, a lone `-` disappears, `-0.5` is taken for a flag.
 * So each argument is first matched with the table of options, and every value travels through cac behind a mark that
 * stops the guessing. What a text means is decided in validate.ts.
 */
import { cac } from "cac";
import { UserError } from "../errors.ts";
import { didYouMean } from "../method/nearest.ts";
import { flagOf, nameIn, type OptionSpec, type Options } from "../method/options.ts";
import { flagMeantBy } from "./synonyms.ts";

export interface Parsed {
  readonly args: string[];
  /** Texts by option name (snake_case), in the order typed; "true" and "false" for flags without a value. */
  readonly given: Map<string, string[]>;
}

/** Says what is wrong with an unknown option; `flag` is as typed. */
export type OnUnknown = (flag: string) => Promise<never>;

export const keyOf = (flag: string): string => flag.replace(/^-+/, "").replaceAll("-", "_");
export const isSwitch = (spec: OptionSpec): boolean => spec.type === "boolean";

/** A character that no argument can hold, since the system ends arguments with it. */
const MARK = "\0";

/**
 * True for what follows an option as its value: anything but another flag. Negative numbers and a lone `-` are values.
 */
const isValue = (text: string | undefined): text is string =>
  text !== undefined && (!text.startsWith("-") || text === "-" || /^-\.?\d/.test(text));

/** Splits arguments by a table of options. Throws UserError for unknown flags, and for missing or needless values. */
export async function parseArguments(argv: readonly string[], table: Options, onUnknown: OnUnknown): Promise<Parsed> {
  const byShort = new Map(Object.entries(table).flatMap(([name, { short }]) => (short ? [[short, name]] : [])));
  const cli = cac();
  const cacKeys = new Map<string, string>();
  for (const [name, spec] of Object.entries(table)) {
    const names = `${spec.short ? `-${spec.short}, ` : ""}${flagOf(name)}`;
    const unmark = (value: unknown) => String(value).replace(MARK, "");
    cli.option(isSwitch(spec) ? names : `${names} <value>`, "", { type: [unmark] });
    cacKeys.set(cli.globalCommand.options.at(-1)!.name, name);
  }

  const marked: string[] = [];
  let rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === "--") {
      rest = argv.slice(i + 1);
      break;
    }
    if (!argument.startsWith("-") || argument === "-") {
      marked.push(MARK + argument);
      continue;
    }
    const long = argument.startsWith("--");
    if (!long) i += await shortFlags(argument);
    else {
      const [flag, value] = cut(argument);
      const key = keyOf(flag);
      const positive = key.replace(/^no_/, "");
      const name = nameIn(table, key);
      if (name !== undefined) i += emit(name, flag, value, argv[i + 1]);
      else if (positive !== key && Object.hasOwn(table, positive) && isSwitch(table[positive]!) && value === undefined)
        marked.push(`--no-${positive.replaceAll("_", "-")}`);
      else await onUnknown(flag);
    }

    /** `-n`, `-nq`, `-o FILE`, `-oFILE`, `-o=FILE`; gives how many further arguments were used. */
    async function shortFlags(cluster: string): Promise<number> {
      for (let at = 1; at < cluster.length; at++) {
        const flag = `-${cluster[at]}`;
        const name = byShort.get(cluster[at]!) ?? (await onUnknown(at === 1 ? cut(cluster)[0] : flag));
        const tail = cluster.slice(at + 1);
        if (isSwitch(table[name]!) && !tail.startsWith("=")) emit(name, flag, undefined, undefined);
        else return emit(name, flag, tail === "" ? undefined : tail.replace(/^=/, ""), argv[i + 1]);
      }
      return 0;
    }
  }

  function emit(name: string, flag: string, value: string | undefined, next: string | undefined): number {
    const long = flagOf(name);
    if (isSwitch(table[name]!)) {
      const separate = value === undefined && (next === "true" || next === "false");
      const text = value ?? (separate ? next : "true");
      if (text !== "true" && text !== "false")
        throw new UserError(
          `${flag}: expected true or false but found ${text}`,
          `write ${long} or --no-${long.slice(2)}`,
        );
      marked.push(text === "true" ? long : `--no-${long.slice(2)}`);
      return separate ? 1 : 0;
    }
    const text = value ?? next;
    if (value === undefined && !isValue(next))
      throw new UserError(
        `${flag}: expected a value but found ${next ?? "nothing"}`,
        next === undefined
          ? `write ${long} ${table[name]!.value ?? "VALUE"}: ${table[name]!.help}`
          : `if the value begins with a dash, write ${long}=VALUE`,
      );
    marked.push(`${long}=${MARK}${text}`);
    return value === undefined ? 1 : 0;
  }

  const { args, options } = cli.parse(["", "", ...marked], { run: false });
  const given = new Map<string, string[]>();
  for (const [key, name] of cacKeys) if (key in options) given.set(name, options[key]);
  return { args: [...args.map((arg) => arg.replace(MARK, "")), ...rest], given };
}

function cut(argument: string): [string, string | undefined] {
  const equals = argument.indexOf("=");
  return equals < 0 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

/** The values typed for a flag, looked up before the table of options is complete (`--method`, `--config`). */
export function peekAll(argv: readonly string[], flag: string): string[] {
  const found: string[] = [];
  for (let i = 0; i < argv.length && argv[i] !== "--"; i++) {
    const [name, value] = cut(argv[i]!);
    if (keyOf(name) !== keyOf(flag) || !name.startsWith("--")) continue;
    if (value !== undefined) found.push(value);
    else if (isValue(argv[i + 1])) found.push(argv[++i]!);
  }
  return found;
}

/** The last of them. */
export const peek = (argv: readonly string[], flag: string): string | undefined => peekAll(argv, flag).at(-1);

/**
 * The place of the first argument that is neither an option nor the value of one, by what the table knows; -1 if there
 * is none.
 */
export function firstArgument(argv: readonly string[], table: Options): number {
  const takesValue = (flag: string) => {
    const name = flag.startsWith("--")
      ? nameIn(table, keyOf(flag))
      : Object.keys(table).find((one) => table[one]!.short === flag.at(-1));
    return name !== undefined ? !isSwitch(table[name]!) : !keyOf(flag).startsWith("no_");
  };
  for (let i = 0; i < argv.length && argv[i] !== "--"; i++) {
    const argument = argv[i]!;
    if (!argument.startsWith("-") || argument === "-") return i;
    if (!argument.includes("=") && takesValue(argument) && isValue(argv[i + 1])) i++;
  }
  return -1;
}

/** True if one of these flags stands among the arguments, whatever else is wrong with them. */
export function peekSwitch(argv: readonly string[], ...flags: string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).some((argument) => flags.includes(argument));
}

/** Checks the number of arguments against a form such as `<model> [...models]`; `example` is a right command. */
export function checkArgumentCount(args: readonly string[], form: string, example?: string): void {
  const words = form.match(/<[^>]+>|\[[^\]]+\]/g) ?? [];
  const least = words.filter((word) => word.startsWith("<")).length;
  const most = words.some((word) => word.includes("...")) ? Number.POSITIVE_INFINITY : words.length;
  if (args.length < least)
    throw new UserError(
      `expected ${form} but found ${args.length === 0 ? "nothing" : args.join(" ")}`,
      example === undefined ? "see --help" : `for example ${example}`,
    );
  if (args.length > most)
    throw new UserError(
      `unexpected argument ${args[most]}`,
      most === 0 ? "it takes no arguments; see --help" : `it takes ${form}`,
    );
}

/** Hint for an unknown flag: a near one, or where to look. */
export function flagHint(flag: string, table: Options): string {
  const meant = flagMeantBy(keyOf(flag), table);
  if (meant !== undefined) return `here it is ${meant}`;
  const names = Object.keys(table).map((name) => flagOf(name).slice(2));
  return didYouMean(keyOf(flag), names, "--") ?? "see --help all for the options";
}
