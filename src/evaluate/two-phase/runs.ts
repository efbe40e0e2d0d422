/** Runs of `adapt --tasks` from their logs: what was run, with which seed, on which stream, and how it ended. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { isObject, type Json, type JsonObject } from "../../json.ts";

export interface Run {
  readonly file: string;
  readonly method: string;
  /** Options by name, without those that say where things are and how the run goes. */
  readonly configuration: Readonly<Record<string, Json>>;
  readonly seed: number;
  /** The files of the tasks. */
  readonly stream: string;
  /** Metrics by score (accuracy, loss) and name. */
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly seconds: number;
}

/** Options that make no other configuration. */
const BESIDES = new Set([
  ...["tasks", "eval_tasks", "eval_split", "eval_data", "out", "overwrite", "dry_run", "json", "config", "device"],
  ...["resume", "save_every", "log_every", "eval_every", "profile", "token_cache"],
]);

function eventsOf(file: string): JsonObject[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`${file} cannot be read: ${(error as Error).message}`, "name the --log of a run");
  }
  return text.split("\n").flatMap((line, i) => {
    if (!/"event":"(start|end)"/.test(line)) return [];
    try {
      const event = JSON.parse(line) as Json;
      return isObject(event) ? [event] : [];
    } catch {
      throw new UserError(`${file}:${i + 1} is not JSON`, "name the --log of a run");
    }
  });
}

function numbersOf(value: Json | undefined): Record<string, number> {
  const entries = isObject(value) ? Object.entries(value) : [];
  return Object.fromEntries(entries.filter((entry): entry is [string, number] => typeof entry[1] === "number"));
}

/** Reads a log; a resumed run counts once. Throws UserError for what is no log of a stream that has come to its end. */
export function readRun(file: string): Run {
  const events = eventsOf(file);
  const start = events.findLast(({ event }) => event === "start");
  const end = events.findLast(({ event }) => event === "end");
  const options = start && isObject(start.options) ? start.options : undefined;
  if (!start || !options || options.tasks === undefined || typeof start.method !== "string")
    throw new UserError(`${file} is not the log of a stream of tasks`, "adapt --tasks ... --log run.log writes one");
  if (end?.ok !== true || !isObject(end.metrics))
    throw new UserError(`${file}: the run did not come to its end`, "finish it, or leave it out");
  const configuration = Object.fromEntries(Object.entries(options).filter(([name]) => !BESIDES.has(name)));
  return {
    file,
    method: start.method,
    configuration,
    seed: typeof start.seed === "number" ? start.seed : 0,
    stream: JSON.stringify(options.tasks),
    metrics: Object.fromEntries(Object.entries(end.metrics).map(([score, values]) => [score, numbersOf(values)])),
    seconds: events.reduce((sum, { event, seconds }) => {
      return event === "end" && typeof seconds === "number" ? sum + seconds : sum;
    }, 0),
  };
}

/** Reads logs: files, and folders of files named .log. Throws UserError for a folder without one. */
export function readRuns(places: readonly string[]): Run[] {
  return places.flatMap((place) => {
    if (!statSync(place, { throwIfNoEntry: false })?.isDirectory()) return [readRun(place)];
    const files = readdirSync(place).filter((name) => name.endsWith(".log"));
    if (files.length === 0) throw new UserError(`${place} has no file named .log`, "name the --log of a run");
    return files.sort().map((name) => readRun(join(place, name)));
  });
}
