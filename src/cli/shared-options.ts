/** The options that every script has, with the same meaning everywhere. */

import type { Options } from "../method/options.ts";
import type { AnyCommand } from "./context.ts";

const LIST = { list: { type: "boolean", help: "list the methods and stop" } } as const satisfies Options;

const METHOD_OPTIONS = {
  method: { type: "string", help: "technique to apply; with --help, show its options", value: "NAME" },
  ...LIST,
  set: {
    type: "string[]",
    help: "a method's option; KEY:FILTER=VALUE where it applies to some tensors",
    value: "KEY=VALUE",
  },
} as const satisfies Options;

const COMMON_OPTIONS = {
  out: { type: "string", default: "-", short: "o", value: "OUT", help: "where the result goes; - is stdout" },
  dry_run: { type: "boolean", default: false, short: "n", help: "say what would be done and what it takes, then stop" },
  config: { type: "string", value: "FILE", help: "YAML file whose keys are option names" },
  seed: { type: "0 <= number.integer <= 9007199254740991", default: 0, value: "N", help: "seed of everything random" },
  device: { type: "string", value: "NAME", help: "adapter to use; doctor lists them" },
  json: { type: "boolean", default: false, help: "print the result as JSON" },
  log: { type: "string", value: "FILE", writes: "text", help: "append a JSON line per event to this file" },
  tensorboard: {
    type: "string",
    value: "DIR",
    help: "write steps and evaluations to this folder as TensorBoard reads them",
  },
  quiet: { type: "boolean", default: false, short: "q", help: "no progress and no remarks" },
  verbose: { type: "boolean", default: false, short: "v", help: "more remarks" },
  version: { type: "boolean", help: "print the version and stop" },
  help: { type: "boolean", short: "h", help: "print this and stop" },
} as const satisfies Options;

const { out, ...OTHERS } = COMMON_OPTIONS;
const OVERWRITE = {
  overwrite: { type: "boolean", default: false, help: "replace the checkpoint at OUT, even one that is read" },
} as const satisfies Options;

/**
 * Common options of a script or a sub-command: those about methods only where it has methods, that about replacing
 * only where the result can be a checkpoint.
 */
export function commonOptions({
  methods,
  options,
  output,
}: Pick<AnyCommand, "methods" | "options" | "output">): Options {
  const replaces = output === "checkpoint" || typeof output === "function";
  const common = replaces ? { out, ...OVERWRITE, ...OTHERS } : COMMON_OPTIONS;
  if (methods !== undefined) return { ...METHOD_OPTIONS, ...common };
  const lists = Object.values(options).some(({ kind }) => kind !== undefined);
  return lists ? { ...LIST, ...common } : common;
}

/**
 * One table of all options. Throws for a name or letter that stands for two things, which is a mistake in the source.
 */
export function joinTables(...tables: Options[]): Options {
  const joined: Record<string, Options[string]> = {};
  const letters = new Set<string>();
  for (const table of tables)
    for (const [name, spec] of Object.entries(table)) {
      if (!/^[a-z][a-z0-9_]*$/.test(name) || name.startsWith("no_"))
        throw new Error(`option ${name}: not a snake_case name`);
      if (Object.hasOwn(joined, name)) throw new Error(`option ${name} is defined twice`);
      if (spec.short && letters.has(spec.short)) throw new Error(`option -${spec.short} is defined twice`);
      if (spec.short) letters.add(spec.short);
      joined[name] = spec;
    }
  const before = Object.values(joined).flatMap(({ was = [] }) => was);
  for (const letter of letters)
    if (Object.hasOwn(joined, letter)) throw new Error(`option -${letter} is defined twice`);
  for (const name of before) if (Object.hasOwn(joined, name)) throw new Error(`option ${name} is defined twice`);
  return joined;
}
