/**
 * The text of `--help`, of `--list`, and of a script that is called with nothing; made from tables.
 */
import { asLaunched, launcher } from "../launcher.ts";
import { flagOf, type OptionSpec, type Options } from "../method/options.ts";
import { type MethodInfo, type MethodSource, methodNames, nounOf, titleOf } from "../method/registry.ts";
import { elementOf, literalsOf } from "../method/validate.ts";
import { table } from "../text/table.ts";
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

/** Options as two columns; a help text that does not fit continues below itself. */
export function optionLines(options: Options, width: number): string {
  const COLUMN = 28;
  return Object.entries(options)
    .map(([name, spec]) => {
      const flag = spec.type === "boolean" && spec.default === true ? `--[no-]${flagOf(name).slice(2)}` : flagOf(name);
      const left = `  ${spec.short ? `-${spec.short}, ` : ""}${flag}${valueName(spec)}`;
      const names = spec.kind === undefined ? "" : `: ${methodNames(spec.kind).join(", ")}`;
      const lines = wrap(spec.help + names + remark(spec), width - COLUMN).join(`\n${" ".repeat(COLUMN)}`);
      return left.length <= COLUMN - 2 ? left.padEnd(COLUMN) + lines : `${left}\n${" ".repeat(COLUMN)}${lines}`;
    })
    .join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (lines[last] === "") lines[last] = word;
    else if (lines[last]!.length + 1 + word.length <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** What a method is and its options. Of a default only the options: the user did not ask about it. */
function methodPart({ option, source, said }: Choice, method: MethodInfo, width: number): string | undefined {
  const rows = Object.keys(method.options).length > 0 ? optionLines(method.options, width) : undefined;
  if (!said) return rows && `Options of ${flagOf(option)} ${method.name}\n${rows}`;
  const noun = option === "method" ? option : nounOf(source);
  const about = wrap(method.about, width - 2).map((line) => `  ${line}`);
  const title = [method.title, method.cite].filter(Boolean).join(", ");
  return `${noun[0]!.toUpperCase()}${noun.slice(1)} ${method.name}: ${title}\n${about.join("\n")}\n\n${rows ?? "  It has no options"}`;
}

/**
 * The whole help. `methods` are all that `--method` may choose; `chosen` what was chosen, by `--method` and other
 * options.
 */
export function helpText(
  source: HelpSource,
  methods: readonly MethodInfo[],
  chosen: readonly Choice[],
  width: number,
): string {
  const { name, about, examples, options, notes, commands } = source;
  const parts = [`${name}: ${about}\n\n  ${usage(source)}`];
  if (examples.length > 0) parts.push(`Examples\n${examples.map((example) => `  ${asLaunched(example)}`).join("\n")}`);
  if (commands) {
    const rows = Object.entries(commands).map(([command, each]) => [`  ${command}`, cutTo(each.about, width - 24)]);
    parts.push(`Commands (${launcher()} ${name} COMMAND --help shows one)\n${table(rows)}`);
  }
  if (Object.keys(options).length > 0) parts.push(`Options\n${optionLines(options, width)}`);
  for (const choice of chosen) for (const method of choice.methods) parts.push(methodPart(choice, method, width) ?? "");
  if (methods.length > 0) {
    const rows = methods.map((method) => [`  ${method.name}`, cutTo(method.about, width - 24)]);
    parts.push(`Methods (--help --method NAME shows the options of one)\n${table(rows)}`);
  }
  parts.push(`Common options\n${optionLines(commonOptions(source), width)}`);
  if (notes) parts.push(notes.trim());
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

/** The table of `--list`; several kinds stand apart under their names. */
export function listText(groups: readonly ListedGroup[]): string {
  const tables = groups.map(({ methods }) => table(methods.map(({ name, about, cite }) => [name, about, cite])));
  if (groups.length === 1) return `${tables[0]}\n`;
  return `${groups.map(({ source }, i) => `${titleOf(source)}\n${tables[i]!.replaceAll(/^/gm, "  ")}`).join("\n\n")}\n`;
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

const cutTo = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(width, 20) - 1)}…`;
