/**
 * The text of `--help`, of `--list`, and of a script that is called with nothing; made from tables.
 */
import { asLaunched, launcher } from "../launcher.ts";
import { flagOf, type OptionSpec, type Options } from "../method/options.ts";
import { type MethodInfo, type MethodSource, methodNames, nounOf, titleOf } from "../method/registry.ts";
import { elementOf, literalsOf } from "../method/validate.ts";
import { type Giving, narrowTable } from "../text/narrow-table.ts";
import { wrap } from "../text/wrap.ts";
import type { Choice } from "./choices.ts";
import type { AnyDefinition } from "./context.ts";
import { commonOptions } from "./shared-options.ts";

/** The part of a definition that help is made from. */
export type HelpSource = Omit<AnyDefinition, "run" | "isRecipe">;

const usage = ({ name, args, methods, output }: HelpSource): string =>
  `${launcher()} ${[name, args, methods && "[--method NAME]", "[options]", output === undefined ? "" : "[-o OUT | > OUT]"].filter(Boolean).join(" ")}`;

/** What stands for a value: `f32|bf16`, N, N,..., TEXT. */
function valueName(spec: OptionSpec): string {
  if (spec.type === "boolean") return "";
  const definition = elementOf(spec.type) ?? spec.type;
  const literals = literalsOf(definition);
  if (spec.kind !== undefined) return elementOf(spec.type) === undefined ? " NAME" : " NAME,...";
  const one = spec.value ?? (literals.length > 0 ? literals.join("|") : /\bnumber\b/.test(definition) ? "N" : "TEXT");
  return elementOf(spec.type) !== undefined && elementOf(spec.type) !== "string" ? ` ${one},...` : ` ${one}`;
}

function remark(spec: OptionSpec): string {
  const remarks: string[] = [];
  if (spec.per === "model") remarks.push("one, or one per model");
  if (spec.required) remarks.push("required");
  const value = spec.default;
  const shown = Array.isArray(value) ? value.join(",") : value === undefined || value === false ? "" : String(value);
  if (shown !== "") remarks.push(`default ${shown}`);
  return remarks.length > 0 ? ` (${remarks.join("; ")})` : "";
}

/** Column at which the texts of options begin. */
const COLUMN = 28;

/** Two columns; a text that does not fit continues below itself, and one without room for it begins there. */
function twoColumns(rows: readonly (readonly [left: string, right: string])[], column: number, width: number): string {
  return rows
    .map(([left, right]) => {
      const lines = wrap(right, width - column).join(`\n${" ".repeat(column)}`);
      return left.length <= column - 2 ? left.padEnd(column) + lines : `${left}\n${" ".repeat(column)}${lines}`;
    })
    .join("\n");
}

/** Most names of methods that short help lists behind an option. */
const MOST_NAMES = 10;

/** Options as two columns; with `whole` all names of the methods that an option chooses from, however many. */
export function optionLines(options: Options, width: number, whole = true): string {
  const rows = Object.entries(options).map(([name, spec]) => {
    const flag = spec.type === "boolean" && spec.default === true ? `--[no-]${flagOf(name).slice(2)}` : flagOf(name);
    const all = spec.kind === undefined ? [] : methodNames(spec.kind);
    const isLong = !whole && all.length > MOST_NAMES;
    const names = all.length === 0 ? "" : isLong ? `; --list tells all ${all.length}` : `: ${all.join(", ")}`;
    const left = `  ${spec.short ? `-${spec.short}, ` : ""}${flag}${valueName(spec)}`;
    return [left, spec.help + names + remark(spec)] as const;
  });
  return twoColumns(rows, COLUMN, width);
}

/** A command in lines, broken before options and pipes, each but the last ended as a shell asks. */
const broken = (command: string, width: number, end = ""): string =>
  `  ${wrap(command, width - 4 - end.length, / (?=[-|[])/).join(`${end}\n    `)}`;

/** Paragraphs, wrapped anew; lines that begin with a space stay as they are. */
const reflow = (text: string, width: number): string =>
  text
    .trim()
    .split(/\n{2,}/)
    .map((part) => (/^ /m.test(part) ? part : wrap(part.replaceAll("\n", " "), width).join("\n")))
    .join("\n\n");

/** What a method says of itself, behind its label; a command is broken as a shell asks. */
function factLines([label, text]: readonly [string, string], width: number): string {
  const column = 11;
  if (!text.startsWith("bun run ")) return twoColumns([[`  ${label}`, text]], column, width);
  const lines = wrap(asLaunched(text), width - column - 4, / (?=[-|[])/);
  return `  ${label}`.padEnd(column) + lines.join(` \\\n${" ".repeat(column + 2)}`);
}

/** What a method is and its options. Of a default only the options: the user did not ask about it. */
function methodPart({ option, source, said }: Choice, method: MethodInfo, width: number): string | undefined {
  const rows = Object.keys(method.options).length > 0 ? optionLines(method.options, width) : undefined;
  if (!said) return rows && `Options of ${flagOf(option)} ${method.name}\n${rows}`;
  const noun = option === "method" ? option : nounOf(source);
  const about = wrap(method.about, width - 2).map((line) => `  ${line}`);
  const title = [method.title, method.cite].filter(Boolean).join(", ");
  const facts = (method.explained ?? []).map((fact) => factLines(fact, width));
  const explained = facts.length > 0 ? `\n\n${facts.join("\n")}` : "";
  const head = `${noun[0]!.toUpperCase()}${noun.slice(1)} ${method.name}: ${title}`;
  return `${head}\n${about.join("\n")}${explained}\n\n${rows ?? "  It has no options"}`;
}

/** Names of what is left out of the short help of a definition. */
export function furtherOptions({ essentials, options }: Pick<HelpSource, "essentials" | "options">): string[] {
  return essentials === undefined ? [] : Object.keys(options).filter((name) => !essentials.includes(name));
}

/** Methods and what they do, or their names alone. */
function methodLines(methods: readonly MethodInfo[], whole: boolean, width: number): string {
  if (!whole) {
    const names = wrap(methods.map(({ name }) => name).join(", "), width - 2).map((line) => `  ${line}`);
    return `Methods (--list explains them, --help --method NAME shows the options of one)\n${names.join("\n")}`;
  }
  const column = Math.max(...methods.map(({ name }) => name.length)) + 4;
  const rows = methods.map(({ name, about }) => [`  ${name}`, about] as const);
  return `Methods (--help --method NAME shows the options of one)\n${twoColumns(rows, column, width)}`;
}

/** Commands and what they do; of several, the short help has the names alone. */
function commandLines(name: string, commands: NonNullable<HelpSource["commands"]>, whole: boolean, width: number) {
  const title = `Commands (${launcher()} ${name} COMMAND --help shows one)`;
  const names = Object.keys(commands);
  if (!whole && names.length > 3) {
    const lines = wrap(names.join(", "), width - 2).map((line) => `  ${line}`);
    return `${title}\n${lines.join("\n")}`;
  }
  const column = Math.max(...names.map((command) => command.length)) + 4;
  const rows = Object.entries(commands).map(([command, { about }]) => [`  ${command}`, about] as const);
  return `${title}\n${twoColumns(rows, column, width)}`;
}

export interface HelpView {
  readonly width: number;
  /** Every option, common ones and notes too, not only the essentials. */
  readonly whole: boolean;
}

/**
 * The help. `methods` are all that `--method` may choose; `chosen` what was chosen, by `--method` and other options.
 */
export function helpText(
  source: HelpSource,
  methods: readonly MethodInfo[],
  chosen: readonly Choice[],
  { width, whole: all }: HelpView,
): string {
  const { name, about, essentials, options, notes, commands } = source;
  const further = furtherOptions(source);
  const whole = all || essentials === undefined;
  const parts = [wrap(`${name}: ${about}`, width).join("\n"), broken(usage(source), width)];
  const said = chosen.filter((choice) => whole || choice.said);
  const ofMethods = said.flatMap((choice) => choice.methods.map((method) => methodPart(choice, method, width) ?? ""));
  if (!whole) parts.push(...ofMethods);
  const examples = whole ? source.examples : source.examples.slice(0, 2);
  if (examples.length > 0)
    parts.push(`Examples\n${examples.map((example) => broken(asLaunched(example), width, " \\")).join("\n")}`);
  if (commands) parts.push(commandLines(name, commands, whole, width));
  const listed = whole ? options : Object.fromEntries((essentials ?? []).map((key) => [key, options[key]!]));
  if (Object.keys(listed).length > 0) parts.push(`Options\n${optionLines(listed, width, whole)}`);
  if (whole) parts.push(...ofMethods);
  if (methods.length > 0) parts.push(methodLines(methods, whole, width));
  if (whole) {
    parts.push(`Common options\n${optionLines(commonOptions(source), width)}`);
    if (notes) parts.push(reflow(notes, width));
  } else {
    const common = Object.keys(commonOptions(source)).length;
    const more = further.length > 0 ? `${further.length} more options and ` : "";
    const rest = `--help all shows ${more}the ${common} that every script has, -o and -n among them.`;
    parts.push(wrap(rest, width).join("\n"));
  }
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** Six lines at most: what it is, how it is called, two examples, where to read on. */
export function shortHelp(source: HelpSource): string {
  const lines = [
    `${source.name}: ${source.about}`,
    `  ${usage(source)}`,
    ...source.examples.slice(0, 2).map((example) => `  ${asLaunched(example)}`),
    `  ${launcher()} ${source.name} --help shows all options${source.methods === undefined ? "" : ", --list all methods"}`,
  ];
  return lines.join("\n");
}

/** Methods of one kind. */
export interface ListedGroup {
  readonly source: MethodSource;
  readonly methods: readonly MethodInfo[];
}

/** Of name, about and source: what a method is may take more lines, then its source gives way. */
const LIST_GIVING: readonly Giving[] = [{ wrap: 1, to: 28 }, { drop: 2 }, { wrap: 1, to: 16 }, { shorten: 0, to: 10 }];

/**
 * The table of `--list`; several kinds stand apart under their names. `width`: columns of the terminal, undefined: any.
 */
export function listText(groups: readonly ListedGroup[], width?: number): string {
  const indent = groups.length === 1 ? 0 : 2;
  const room = width === undefined ? undefined : width - indent;
  const tables = groups.map(({ methods }) => {
    const rows = methods.map(({ name, about, cite }) => [name, about, cite]);
    return narrowTable(rows, { width: room, giving: LIST_GIVING });
  });
  const parts = groups.map(({ source }, i) => {
    const { text } = tables[i]!;
    return indent === 0 ? text : `${titleOf(source)}\n${text.replaceAll(/^(?=.)/gm, "  ")}`;
  });
  if (tables.some(({ left }) => left.length > 0))
    parts.push(wrap("No room for the sources: widen the terminal, or read --list --json.", width!).join("\n"));
  return `${parts.join("\n\n")}\n`;
}

/** What `--list --json` prints: the same and each method's options, as plain data. */
export const listJson = (groups: readonly ListedGroup[]): string =>
  `${JSON.stringify(
    groups.flatMap(({ source, methods }) =>
      methods.map(({ name, title, about, cite, options }) => ({
        ...(typeof source === "string" ? { kind: source } : {}),
        name,
        title,
        about,
        cite,
        options,
      })),
    ),
    null,
    2,
  )}\n`;
