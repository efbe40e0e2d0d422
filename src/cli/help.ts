/** The text of `--help`, of `--list`, and of a script called with nothing at all; made from tables, without loading anything. */
import { basename } from "node:path";
import type { OptionSpec, Options } from "../method/options.ts";
import type { MethodInfo, MethodSource } from "../method/registry.ts";
import { elementOf, literalsOf } from "../method/validate.ts";
import { table } from "../text/table.ts";
import { flagOf } from "./parse.ts";
import { commonOptions } from "./shared-options.ts";

/** The part of a script's definition that help is made from. */
export interface HelpSource {
  readonly name: string;
  readonly about: string;
  readonly args?: string;
  readonly examples: readonly string[];
  readonly methods?: MethodSource;
  readonly options: Options;
  readonly notes?: string;
  readonly output?: unknown;
}

/** How the user starts scripts: `ingot` where that is what runs, else `bun run`. */
const launcher = (): string => (basename(process.argv[1] ?? "").replace(/\.ts$/, "") === "ingot" ? "ingot" : "bun run");

const asLaunched = (command: string): string => command.replace(/\bbun run (?=[a-z])/g, `${launcher()} `);

const usage = ({ name, args, methods, output }: HelpSource): string =>
  `${launcher()} ${[name, args, methods && "[--method NAME]", "[options]", output === undefined ? "" : "[-o OUT | > OUT]"].filter(Boolean).join(" ")}`;

/** What stands for a value: `f32|bf16`, N, N,..., TEXT. */
function valueName(spec: OptionSpec): string {
  if (spec.type === "boolean") return "";
  const definition = elementOf(spec.type) ?? spec.type;
  const literals = literalsOf(definition);
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
      const lines = wrap(spec.help + remark(spec), width - COLUMN).join(`\n${" ".repeat(COLUMN)}`);
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

/** The whole help. `methods` are all of the folder; `chosen` is the one named by `--method`. */
export function helpText(
  source: HelpSource,
  methods: readonly MethodInfo[],
  chosen: MethodInfo | undefined,
  width: number,
): string {
  const { name, about, examples, options, notes } = source;
  const parts = [`${name}: ${about}\n\n  ${usage(source)}`];
  if (examples.length > 0) parts.push(`Examples\n${examples.map((example) => `  ${asLaunched(example)}`).join("\n")}`);
  if (Object.keys(options).length > 0) parts.push(`Options\n${optionLines(options, width)}`);
  if (chosen) {
    const rows = Object.keys(chosen.options).length > 0 ? optionLines(chosen.options, width) : "  It has no options";
    parts.push(
      `Method ${chosen.name}: ${chosen.title}, ${chosen.cite}\n${wrap(chosen.about, width - 2)
        .map((line) => `  ${line}`)
        .join("\n")}\n\n${rows}`,
    );
  } else if (methods.length > 0) {
    const rows = methods.map((method) => [`  ${method.name}`, cutTo(method.about, width - 24)]);
    parts.push(`Methods (--help --method NAME shows the options of one)\n${table(rows)}`);
  }
  parts.push(`Common options\n${optionLines(commonOptions(source.methods), width)}`);
  if (notes) parts.push(notes.trim());
  return `${parts.join("\n\n")}\n`;
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

/** The table of `--list`. */
export const listText = (methods: readonly MethodInfo[]): string =>
  `${table(methods.map(({ name, about, cite }) => [name, about, cite]))}\n`;

/** What `--list --json` prints: the same and each method's options, as plain data. */
export const listJson = (methods: readonly MethodInfo[]): string =>
  `${JSON.stringify(
    methods.map(({ name, title, about, cite, options }) => ({ name, title, about, cite, options })),
    null,
    2,
  )}\n`;

const cutTo = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(width, 20) - 1)}…`;
