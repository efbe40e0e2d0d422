/**
 * What a run must not destroy, checked before any work, for every script alike:
 *
 *   a checkpoint at the place of a checkpoint   stays, unless --overwrite is given
 *   what the run reads                          is never the place of a text; of a checkpoint with --overwrite alone
 *   a file of a checkpoint                      is never the place of a text
 *   the places of two results                   differ
 *
 * Other texts (reports, rows, tables) are replaced, as a shell's > does; logs are appended to.
 */
import { statSync } from "node:fs";
import path from "node:path";
import { UserError } from "../errors.ts";
import { flagOf, type OptionSpec, type Options } from "../method/options.ts";
import type { AnyDefinition, AnyValues, Output } from "./context.ts";
import type { Resolved } from "./resolve.ts";
import { commonOptions } from "./shared-options.ts";
import { isInput } from "./target.ts";

/** A place that a run writes to. */
export interface Place {
  readonly flag: string;
  readonly path: string;
  readonly kind: NonNullable<OptionSpec["writes"]>;
  /** What an earlier part of the same run has left there is its own. */
  readonly continues: boolean;
}

/** What stands for the value of an option that is read. */
const READ = new Set(["FILE", "MODEL", "LOG"]);

const textsOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((text): text is string => typeof text === "string");

/** What a reference may name on disk: `name=path`, `base+adapter`, `path@revision`. */
export const pathsOf = (text: string): string[] => {
  const named = text.slice(text.indexOf("=") + 1);
  return [
    ...new Set([text, named, ...named.split("+"), ...named.split("+").map((part) => part.replace(/@[^/]*$/, ""))]),
  ];
};

/** What a run reads (references as they were typed, `-` for stdin) and the places that it writes to, `-o` first. */
export function placesOf(
  definition: AnyDefinition,
  resolved: Resolved,
  output: Output,
): { readonly inputs: readonly string[]; readonly places: readonly Place[] } {
  const specs: Options = { ...commonOptions(definition), ...resolved.options, ...resolved.method?.options };
  const values: Readonly<Record<string, unknown>> = { ...resolved.values, ...resolved.settings };
  const { out, resume } = values as AnyValues;
  const places: Place[] = [
    { flag: "--out", path: out, kind: output === "checkpoint" ? "checkpoint" : "text", continues: false },
  ];
  const inputs = [...resolved.args];
  for (const [name, spec] of Object.entries(specs)) {
    const texts = textsOf(values[name]);
    if (spec.writes !== undefined)
      for (const text of texts)
        places.push({ flag: flagOf(name), path: text, kind: spec.writes, continues: resume === true });
    else if (READ.has(spec.value ?? "")) inputs.push(...texts);
  }
  return { inputs, places };
}

/** Throws UserError (exit code 2) where this run would destroy what should stay, as the head of this file says. */
export async function refuseLosses(definition: AnyDefinition, resolved: Resolved, output: Output): Promise<void> {
  const { inputs: typed, places } = placesOf(definition, resolved, output);
  const inputs = ["-", ...typed];
  const { overwrite = false, shard } = { ...resolved.values, ...resolved.settings } as AnyValues;
  const onDisk = places.filter(({ path: place }) => place !== "-" && place !== "" && !place.startsWith("hf:"));
  if (onDisk.length === 0) return;
  refuseTwins(onDisk);
  const read = [...new Set(inputs.flatMap(pathsOf))];
  const occupied = await import("../checkpoint/write/occupied.ts"); // needed only where a file is written
  for (const place of onDisk) {
    // Who writes one file of tensors says what its name must be.
    if (place.kind === "tensors" && !isTensorFile(place.path)) continue;
    const same = read.find((input) => isInput(place.path, [input]));
    if (same !== undefined || occupied.belongsToOneOf(place.path, read))
      refuseInput(place, { same, overwrite, sharded: shard !== undefined });
    if (place.kind === "text") refuseText(place, occupied);
    else if (!overwrite && shard === undefined && !place.continues) refuseFinished(place, occupied);
  }
}

function refuseTwins(places: readonly Place[]): void {
  for (const [i, { flag, path: place }] of places.entries()) {
    const other = places.slice(0, i).find((earlier) => path.resolve(earlier.path) === path.resolve(place));
    if (other) throw new UserError(`${flag} and ${other.flag} both name ${place}`, "give each its own place");
  }
}

function isTensorFile(file: string): boolean {
  try {
    return file.endsWith(".safetensors") && !statSync(file, { throwIfNoEntry: false })?.isDirectory();
  } catch {
    return false; // below a file
  }
}

const REPLACE = "write to another place, or give --overwrite to replace it once the result is whole";

/**
 * Throws UserError where what the run reads would be lost: of a checkpoint it is replaced with `--overwrite`, once the
 * result is whole; but with `--shard` other processes read it still. `same` is the input that is the same file.
 */
function refuseInput(
  { flag, path: place, kind }: Place,
  { same = place, overwrite, sharded }: { same: string | undefined; overwrite: boolean; sharded: boolean },
): void {
  if (kind === "checkpoint" && overwrite && !sharded) return;
  const hint =
    kind !== "checkpoint"
      ? "it would be lost; write to another file"
      : sharded
        ? "the other shards need it whole; write to another place"
        : REPLACE;
  const bare = (text: string) => text.replace(/\/+$/, "");
  const as = bare(same) === bare(place) ? "" : `, as ${same === "-" ? "stdin" : same}`;
  throw new UserError(`${flag}: ${place} is read by this run${as}`, hint);
}

type Occupied = typeof import("../checkpoint/write/occupied.ts");

function refuseText({ flag, path: place }: Place, { belongsToCheckpoint }: Occupied): void {
  if (belongsToCheckpoint(place))
    throw new UserError(`${flag}: ${place} is a part of a checkpoint`, "it would be lost; write to another file");
}

/** With `--shard` the writer compares what is there with what the other processes write. */
function refuseFinished({ flag, path: place }: Place, { finishedAt }: Occupied): void {
  const found = finishedAt(place);
  if (found !== undefined) throw new UserError(`${flag}: ${found} is there already`, REPLACE);
}
