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

/** What one process wrote of a run: from a start to the next one. */
interface Part {
  readonly start: JsonObject;
  readonly end: JsonObject | undefined;
}

function partsOf(events: readonly JsonObject[]): Part[] {
  const parts: Part[] = [];
  for (const event of events) {
    if (event.event === "start") parts.push({ start: event, end: undefined });
    else if (parts.length > 0) parts.push({ ...parts.pop()!, end: event });
  }
  return parts;
}

const secondsOf = ({ end }: Part): number => (typeof end?.seconds === "number" ? end.seconds : 0);

/** What was run, whatever came of it. Throws UserError where it is no stream of tasks. */
function begun({ start }: Part, file: string): Omit<Run, "metrics" | "seconds"> {
  const options = isObject(start.options) ? start.options : undefined;
  if (!options || options.tasks === undefined || typeof start.method !== "string")
    throw new UserError(
      `${file} is not the log of a stream of tasks`,
      "bun run adapt --tasks ... --log run.log writes one",
    );
  return {
    file,
    method: start.method,
    configuration: Object.fromEntries(Object.entries(options).filter(([name]) => !BESIDES.has(name))),
    seed: typeof start.seed === "number" ? start.seed : 0,
    stream: JSON.stringify(options.tasks),
  };
}

/**
 * The runs of a log, which holds one after the other where it was given to several. A resumed run counts once, and of
 * one that was made again the last. Throws UserError for what is no log of streams, and where the last run has not come
 * to its end; one that was given up before another began does not count.
 */
export function readLog(file: string): Run[] {
  const runs = new Map<string, Run>();
  let open: { readonly key: string; readonly seconds: number } | undefined;
  const parts = partsOf(eventsOf(file));
  if (parts.length === 0) begun({ start: {}, end: undefined }, file);
  for (const part of parts) {
    const run = begun(part, file);
    const { configuration, seed, stream, method } = run;
    const key = JSON.stringify([method, configuration, seed, stream]);
    const seconds = secondsOf(part) + (open?.key === key ? open.seconds : 0);
    const { end } = part;
    if (end?.ok !== true || !isObject(end.metrics)) {
      open = { key, seconds };
      continue;
    }
    open = undefined;
    const metrics = Object.entries(end.metrics).map(([score, values]) => [score, numbersOf(values)]);
    runs.set(key, { ...run, metrics: Object.fromEntries(metrics), seconds });
  }
  if (open) throw new UserError(`${file}: the run did not come to its end`, "finish it, or leave it out");
  return [...runs.values()];
}

/** Reads logs: files, and folders of files named .log. Throws UserError for a folder without one. */
export function readRuns(places: readonly string[]): Run[] {
  return places.flatMap((place) => {
    if (!statSync(place, { throwIfNoEntry: false })?.isDirectory()) return readLog(place);
    const files = readdirSync(place).filter((name) => name.endsWith(".log"));
    if (files.length === 0) throw new UserError(`${place} has no file named .log`, "name the --log of a run");
    return files.sort().flatMap((name) => readLog(join(place, name)));
  });
}
