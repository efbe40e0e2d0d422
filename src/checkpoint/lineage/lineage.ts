/**
 * Lineage: how a checkpoint came to be, one entry per step, carried in the metadata of every file ingot writes.
 *
 * An entry holds only what is known before the work and is the same from run to run, because equal inputs, options and
 * seeds must give equal bytes. So the run id is a hash, and the time is written only when SOURCE_DATE_EPOCH fixes it
 * (https://reproducible-builds.org/specs/source-date-epoch/); the log has the wall clock.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import { isObject, type Json, type JsonObject, parseJson, show } from "../../json.ts";
import type { LineageEntry } from "../checkpoint.ts";

/** Key of the metadata that holds the lineage. */
export const LINEAGE_KEY = "ingot.lineage";
/** What a file holds at most of it, in characters and steps. */
const MAX_CHARS = 8 * 2 ** 20;
const MAX_ENTRIES = 10_000;
/** Control characters but tab and line ends. A terminal or a shell would obey them; no name or recipe needs one. */
const CONTROL = /[^\P{Cc}\t\n\r]/u;
const HINT = `the ${LINEAGE_KEY} entry of the metadata was damaged or written by hand; write the file again without it`;

/**
 * Reads the text of `ingot.lineage`, oldest entry first; an absent text is an empty history. Keys that this version
 * does not know are dropped. Throws UserError that names `what` when an entry lacks a field, has one of another type,
 * or holds a control character.
 */
export function parseLineage(text: string | undefined, what: string): LineageEntry[] {
  if (text === undefined) return [];
  const place = `${what}: ${LINEAGE_KEY}`;
  if (text.length > MAX_CHARS) throw new UserError(`${place} is longer than ${MAX_CHARS} characters`, HINT);
  const { value } = parseJson(text, place);
  if (!Array.isArray(value)) throw new UserError(`${place} is not a list`, HINT);
  if (value.length > MAX_ENTRIES) throw new UserError(`${place} has more than ${MAX_ENTRIES} entries`, HINT);
  for (const [i, entry] of value.entries()) {
    const bad = controlIn(entry);
    if (bad !== undefined)
      throw new UserError(`${place}: entry ${i + 1} has a control character in ${show(bad)}`, HINT);
  }
  return value.map((entry, i) => parseEntry(entry, `${place}: entry ${i + 1}`));
}

/** The first text with a control character, keys too; undefined when there is none. */
export function controlIn(value: unknown): string | undefined {
  if (typeof value === "string") return CONTROL.test(value) ? value : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const found = controlIn(key) ?? controlIn(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function parseEntry(value: Json, place: string): LineageEntry {
  if (!isObject(value)) throw new UserError(`${place} is not an object`, HINT);
  const { options, seed, inputs } = value;
  if (!isObject(options)) throw new UserError(`${place} has no options`, HINT);
  if (typeof seed !== "number") throw new UserError(`${place} has no seed`, HINT);
  if (!Number.isFinite(seed)) throw new UserError(`${place} has a seed that is not finite`, HINT);
  if (!Array.isArray(inputs)) throw new UserError(`${place} has no inputs`, HINT);
  const method = optional(value, "method", "string", place);
  return {
    script: required(value, "script", place),
    version: required(value, "version", place),
    ...(method !== undefined && { method }),
    options,
    seed,
    inputs: inputs.map((input, i) => parseInput(input, `${place}: input ${i + 1}`)),
    run: required(value, "run", place),
    time: optional(value, "time", "string", place) ?? "",
  };
}

function parseInput(value: Json, place: string): LineageEntry["inputs"][number] {
  if (!isObject(value)) throw new UserError(`${place} is not an object`, HINT);
  const role = optional(value, "role", "string", place);
  const revision = optional(value, "revision", "string", place);
  const bytes = optional(value, "bytes", "number", place);
  const sha256 = optional(value, "header_sha256", "string", place);
  const quantized = optional(value, "quantized", "string", place);
  return {
    ref: required(value, "ref", place),
    ...(role !== undefined && { role }),
    ...(revision !== undefined && { revision }),
    ...(bytes !== undefined && { bytes }),
    ...(sha256 !== undefined && { header_sha256: sha256 }),
    ...(quantized !== undefined && { quantized }),
  };
}

function required(object: JsonObject, key: string, place: string): string {
  const value = optional(object, key, "string", place);
  if (value === undefined) throw new UserError(`${place} has no ${key}`, HINT);
  return value;
}

function optional(object: JsonObject, key: string, type: "string", place: string): string | undefined;
function optional(object: JsonObject, key: string, type: "number", place: string): number | undefined;
function optional(object: JsonObject, key: string, type: "string" | "number", place: string) {
  const value = Object.hasOwn(object, key) ? object[key] : undefined;
  if (value !== undefined && typeof value !== type)
    throw new UserError(`${place} has a ${key} that is not a ${type}`, HINT);
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
    throw new UserError(`${place} has a ${key} that is not finite`, HINT);
  return value;
}

/** The text of `ingot.lineage`. An empty `time` is left out. */
export const encodeLineage = (entries: readonly LineageEntry[]): string => `[${entries.map(encodeEntry).join(",")}]`;

function encodeEntry({ script, version, method, options, seed, inputs, run, time }: LineageEntry): string {
  const sources = inputs.map(({ ref, role, revision, bytes, header_sha256, quantized }) => ({
    ref,
    role,
    revision,
    bytes,
    header_sha256,
    quantized,
  }));
  const dated = time !== "" && { time };
  return JSON.stringify({ script, version, method, options, seed, inputs: sources, run, ...dated });
}

/**
 * The history of a result: those of its inputs, in their order and each run once, then the step that made it.
 * So the list stays oldest first even where two inputs share ancestors. `lineageOf` makes the step too.
 *
 * A history that is too long for a file loses its oldest steps, and `warn` hears how many. Throws UserError for a step
 * that no file can hold.
 *
 *     const entries = appendLineage([first.lineage, second.lineage], { ...step, run: runId(step), time: lineageTime()
 * },
 *       console.warn);
 */
export function appendLineage(
  histories: readonly (readonly LineageEntry[])[],
  step: LineageEntry,
  warn: (message: string) => void,
): LineageEntry[] {
  const bad = controlIn(step);
  if (bad !== undefined)
    throw new UserError(
      `${show(bad)} has a control character, which the lineage of the result cannot hold`,
      "rename the file, or write the option or the recipe without it",
    );
  const entries = new Map<string, LineageEntry>();
  for (const entry of histories.flat()) if (!entries.has(entry.run)) entries.set(entry.run, entry);
  entries.delete(step.run); // the step again over its own result's ancestors stands at the end
  const all = [...entries.values(), step];
  const kept = newestThatFit(all);
  const lost = all.length - kept.length;
  if (lost > 0)
    warn(
      `the result has a history of ${all.length} steps, of which a file holds at most ${MAX_ENTRIES} in ${MAX_CHARS} characters: the oldest ${lost} are left out`,
    );
  return kept;
}

/** The last entries that fit into a file. Throws UserError when not even the very last does. */
function newestThatFit(entries: readonly LineageEntry[]): LineageEntry[] {
  let chars = 1;
  let first = entries.length;
  while (first > 0 && entries.length - first < MAX_ENTRIES) {
    chars += 1 + encodeEntry(entries[first - 1]!).length;
    if (chars > MAX_CHARS) break;
    first--;
  }
  if (first === entries.length)
    throw new UserError(
      `the recipe and the options have over ${MAX_CHARS} characters, which the lineage of the result cannot hold`,
      "shorten the recipe, or split it into several merges",
    );
  return entries.slice(first);
}

/**
 * Id of a run: 12 hexadecimal digits of a hash over what decides its result. Inputs count by their reference too, since
 * fine-tunes of one base have equal headers; an input that ingot made is referred to by its run, not by where it lies,
 * so a pipe and a file give the same id.
 */
export function runId(step: Omit<LineageEntry, "run" | "time">): string {
  const { script, version, method, options, seed, inputs } = step;
  const sources = inputs.map(({ ref, role, header_sha256 }) => [ref, role ?? "", header_sha256 ?? ""]);
  const text = JSON.stringify([script, version, method ?? "", sorted(options as Json), seed, sources]);
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** Keys in one order, so that the order of flags does not change the id. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key]!)]),
  );
}

/**
 * Time of a step: what SOURCE_DATE_EPOCH (seconds) says, in ISO 8601, or nothing. Throws UserError when it is not a
 * time.
 */
export function lineageTime(environment: Record<string, string | undefined> = process.env): string {
  const text = environment.SOURCE_DATE_EPOCH;
  if (text === undefined || text === "") return "";
  const date = new Date(Number(text) * 1000);
  if (!/^\d+$/.test(text) || Number.isNaN(date.getTime())) {
    throw new UserError(
      `SOURCE_DATE_EPOCH is ${text}; expected seconds since 1970`,
      "unset it, or set it to an integer",
    );
  }
  return date.toISOString();
}

/**
 * The history of a run as that of a second result, which an option names: the option is true there, since no step
 * records where its result lies.
 */
export function ofSecondResult(lineage: readonly LineageEntry[], option: string): LineageEntry[] {
  const { run: _, time, ...step } = lineage.at(-1)!;
  const kept = { ...step, options: { ...step.options, [option]: true } };
  return [...lineage.slice(0, -1), { ...kept, run: runId(kept), time }];
}
