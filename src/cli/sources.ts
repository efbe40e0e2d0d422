/**
 * Where values come from besides flags: the environment (`INGOT_DENSITY=0.3`) and a YAML file (`--config run.yml`).
 * Both give texts, as flags do, so a value means the same wherever it is written.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { UserError } from "../errors.ts";
import { didYouMean } from "../method/nearest.ts";
import { nameIn, type Options } from "../method/options.ts";
import type { Given } from "../method/validate.ts";

/** Asked for by hand, once, and never set for a whole session or written into a config. */
const FLAG_ONLY = new Set(["help", "version", "list", "set", "config"]);

/**
 * Options set by environment variables named INGOT_ and the option, or a name that it had before, in capitals; the
 * present name comes first. Empty variables count as unset.
 */
export function fromEnvironment(table: Options, environment: NodeJS.ProcessEnv = process.env): Map<string, Given> {
  const found = new Map<string, Given>();
  for (const [name, spec] of Object.entries(table)) {
    const variables = [name, ...(spec.was ?? [])].map((one) => `INGOT_${one.toUpperCase()}`);
    const origin = variables.find((variable) => environment[variable]);
    if (origin === undefined || FLAG_ONLY.has(name)) continue;
    const text = environment[origin]!;
    const plain = spec.type === "boolean" ? ({ "1": "true", "0": "false" }[text] ?? text) : text;
    found.set(name, { texts: [plain], origin });
  }
  return found;
}

/** A config file: its keys as written, each with its texts. */
export interface Config {
  readonly file: string;
  readonly entries: ReadonlyMap<string, readonly string[]>;
}

/** No config written by hand is larger, in bytes; a device that never ends is cut off here. */
const MOST_TEXT = 16 * 2 ** 20;

/** The text of a file, a pipe or a device. Throws what the system throws, UserError when there is too much of it. */
export function readText(file: string): string {
  const fd = openSync(file, "r");
  try {
    const parts: Buffer[] = [];
    let total = 0;
    for (;;) {
      const part = Buffer.allocUnsafe(2 ** 16);
      const n = readSync(fd, part, 0, part.length, null);
      if (n === 0) return Buffer.concat(parts).toString("utf8");
      total += n;
      if (total > MOST_TEXT)
        throw new UserError(`${file} is larger than 16 MiB`, "expected a YAML file of options or a recipe");
      parts.push(part.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a YAML config. Scalars keep the text they were written with, so long numbers keep their digits.
 * If `isRecipe` claims the file by its keys, the file is the script's own business and null is returned.
 * Throws UserError for files that cannot be read, YAML mistakes (with line and column), and values that are maps.
 */
export async function readConfig(file: string, isRecipe?: (keys: string[]) => boolean): Promise<Config | null> {
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(
      code === "ENOENT" ? `${file}: no such file` : `${file}: cannot be read (${code})`,
      "--config takes a YAML file whose keys are option names",
    );
  }
  const { isMap, isScalar, isSeq, parseAllDocuments } = await import("yaml");
  const documents = parseAllDocuments(text);
  const document = "empty" in documents ? undefined : documents[0];
  const mistake = document?.errors[0];
  if (mistake)
    throw new UserError(
      `${file}: ${mistake.message.split("\n")[0]!.replace(/:$/, "")}`,
      mistake.message.split("\n").slice(2).join("\n        ").trimEnd() || undefined,
    );

  const entries = new Map<string, readonly string[]>();
  if (!document || document.contents === null) return { file, entries };
  if (!isMap(document.contents))
    throw new UserError(
      `${file}: expected a map of options but found ${isSeq(document.contents) ? "a list" : "one value"}`,
      "write one `option: value` a line",
    );
  const items = document.contents.items.map(({ key, value }) => ({ key: textOf(key) ?? "", value }));
  if (isRecipe?.(items.map(({ key }) => key))) return null;
  if (documents.length > 1)
    throw new UserError(
      `${file}: expected one document but found ${documents.length}`,
      "remove the lines that hold only ---",
    );

  for (const { key, value } of items) {
    const texts = isSeq(value)
      ? value.items.map(textOf)
      : isScalar(value) && value.value === null
        ? []
        : [textOf(value)];
    if (texts.some((entry) => entry === undefined))
      throw new UserError(
        `${key} in ${file}: expected a value or a list of values`,
        "nested maps and lists are not options",
      );
    if (texts.length > 0) entries.set(key, texts as string[]);
  }
  return { file, entries };

  /** The text of a scalar as it stands in the file, without quotes. */
  function textOf(node: unknown): string | undefined {
    if (!isScalar(node)) return undefined;
    return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
  }
}

/**
 * The entries of a config by option name; keys may be in kebab or snake case. Throws UserError for an unknown
 * key; where `refuse` knows why the key has no effect, it throws first.
 */
export async function matchConfig(
  config: Config,
  table: Options,
  refuse: (name: string, origin: string) => Promise<void>,
): Promise<Map<string, Given>> {
  const found = new Map<string, Given>();
  for (const [key, texts] of config.entries) {
    const typed = key.replaceAll("-", "_");
    const name = nameIn(table, typed) ?? typed;
    const origin = `${key} in ${config.file}`;
    const known = Object.keys(table).filter((option) => !FLAG_ONLY.has(option));
    if (!known.includes(name)) {
      await refuse(name, origin);
      throw new UserError(
        `${config.file}: unknown key ${key}`,
        didYouMean(key, known) ?? "keys are the names of options; see --help",
      );
    }
    if (found.has(name)) throw new UserError(`${config.file}: ${key} is given twice`, "keep one of the two");
    found.set(name, { texts, origin });
  }
  return found;
}
