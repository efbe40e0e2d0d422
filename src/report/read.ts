/** Reads run logs (JSON lines, see cli/log.ts) into runs. What a log holds is not trusted. */
import fs from "node:fs";
import { UserError } from "../errors.ts";

/** A metric along a run. Values that are no numbers are NaN: gaps. */
export interface Series {
  readonly step: number[];
  readonly seconds: number[];
  readonly tokens: number[];
  readonly value: number[];
}

export interface Run {
  /** Name for legends: the file's, and the run's own where a file holds several. */
  readonly name: string;
  readonly file: string;
  readonly start: Readonly<Record<string, unknown>>;
  readonly end: Readonly<Record<string, unknown>> | undefined;
  /** By metric: loss, lr, eval loss (group). */
  readonly series: ReadonlyMap<string, Series>;
  /** Tables that evaluations left. */
  readonly tables: readonly (readonly Readonly<Record<string, unknown>>[])[];
  readonly warnings: readonly string[];
  /** Lines that are no JSON. */
  readonly bad: readonly number[];
}

const NOT_METRICS = new Set(["event", "step", "seconds", "epoch", "tokens", "counted", "run"]);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

interface Draft {
  name: string;
  file: string;
  start: Record<string, unknown>;
  end: Record<string, unknown> | undefined;
  series: Map<string, Series>;
  tables: Record<string, unknown>[][];
  warnings: string[];
  bad: number[];
  tokens: number;
}

function add(run: Draft, name: string, step: number, seconds: number, value: number): void {
  let series = run.series.get(name);
  if (!series) {
    series = { step: [], seconds: [], tokens: [], value: [] };
    run.series.set(name, series);
  }
  series.step.push(step);
  series.seconds.push(seconds);
  series.tokens.push(run.tokens);
  series.value.push(value);
}

const numberOf = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : Number.NaN);

function take(run: Draft, event: Record<string, unknown>): void {
  const step = numberOf(event.step);
  const seconds = numberOf(event.seconds);
  switch (event.event) {
    case "step":
      run.tokens += numberOf(event.tokens) || 0;
      for (const [key, value] of Object.entries(event)) {
        if (!NOT_METRICS.has(key) && (typeof value === "number" || value === null))
          add(run, key, step, seconds, numberOf(value));
      }
      break;
    case "eval":
      if (Number.isNaN(step)) break; // of `evaluate`: its table says it
      add(
        run,
        `eval ${event.name}${event.group === undefined ? "" : ` (${event.group})`}`,
        step,
        seconds,
        numberOf(event.value),
      );
      break;
    case "result": {
      const rows = isObject(event.value) ? event.value.rows : undefined;
      if (Array.isArray(rows)) run.tables.push(rows.filter(isObject));
      break;
    }
    case "warning":
      run.warnings.push(String(event.text));
      break;
    case "end":
      run.end = event;
      break;
  }
}

/** Reads logs; "-" is stdin. Throws UserError for a file that is missing, is no log, or holds nothing. */
export function readRuns(files: readonly string[]): Run[] {
  return files.flatMap((file) => runsOf(file, textOf(file)));
}

function textOf(file: string): string {
  try {
    return fs.readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(`${file} cannot be read (${code})`, "give a log that a script wrote with --log");
  }
}

/** The runs of a log's text. A resumed run appends to its log: what follows the same options joins the run before. */
export function runsOf(file: string, text: string): Run[] {
  const runs: Draft[] = [];
  const bad: number[] = [];
  const lines = text.split("\n");
  for (const [at, line] of lines.entries()) {
    if (line.trim() === "") continue;
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      if (at < lines.length - 1) bad.push(at + 1); // the last line of a run that is still going may be cut
      continue;
    }
    if (!isObject(event)) {
      bad.push(at + 1);
      continue;
    }
    if (event.event === "start") {
      const before = runs.at(-1);
      const resumed = before && before.end?.ok !== true && isObject(event.options) && event.options.resume === true;
      if (!resumed) {
        runs.push({
          name: "",
          file,
          start: event,
          end: undefined,
          series: new Map(),
          tables: [],
          warnings: [],
          bad,
          tokens: 0,
        });
      }
      continue;
    }
    const run = runs.at(-1);
    if (run && typeof event.event === "string") take(run, event);
  }
  if (runs.length === 0)
    throw new UserError(
      text.trim() === "" ? `${file} is empty` : `${file} is no log: it has no start event`,
      "give a log that a script wrote with --log FILE",
    );
  const base = file === "-" ? "stdin" : (file.split("/").at(-1) ?? file).replace(/\.(jsonl|log)$/, "");
  return runs.map((run, i) => ({ ...run, name: runs.length > 1 ? `${base} ${i + 1}` : base }));
}

/** Fewer points of the same look: the least and the largest of every stretch, in order. */
export function thinned(series: Series, most: number): Series {
  const n = series.value.length;
  if (n <= most) return series;
  const kept: number[] = [];
  const width = (2 * n) / most;
  for (let from = 0; from < n; from += width) {
    const part = Array.from(
      { length: Math.min(Math.ceil(width), n - Math.floor(from)) },
      (_, i) => Math.floor(from) + i,
    );
    const known = part.filter((i) => !Number.isNaN(series.value[i]!));
    const by = (pick: (a: number, b: number) => boolean) =>
      (known.length > 0 ? known : part).reduce((a, b) => (pick(series.value[b]!, series.value[a]!) ? b : a));
    kept.push(...[by((a, b) => a < b), by((a, b) => a > b)].sort((a, b) => a - b));
  }
  const unique = [...new Set(kept)];
  const pick = (values: readonly number[]) => unique.map((i) => values[i]!);
  return {
    step: pick(series.step),
    seconds: pick(series.seconds),
    tokens: pick(series.tokens),
    value: pick(series.value),
  };
}

/**
 * Options in which the runs differ, each with its value in every run; undefined where a run has none. That a script has an option that
 * another script lacks tells nothing, so absence counts only between runs of one script.
 */
export function differences(runs: readonly Run[]): { option: string; values: (string | undefined)[] }[] {
  const options = runs.map(({ start }) => ({
    seed: start.seed,
    method: start.method,
    ...(isObject(start.options) ? start.options : {}),
  }));
  const names = [...new Set(options.flatMap((given) => Object.keys(given)))];
  return names
    .map((option) => ({
      option,
      values: options.map((given) => {
        const value = (given as Record<string, unknown>)[option];
        return value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
      }),
    }))
    .filter(({ option, values }) => {
      if (option === "out" || option === "log") return false;
      if (new Set(values.filter((value) => value !== undefined)).size > 1) return true;
      return runs.some(({ start }, i) =>
        runs.some((other, j) => other.start.script === start.script && values[i] !== values[j]),
      );
    });
}

/** Names of all metrics, losses first. */
export function metricsOf(runs: readonly Run[]): string[] {
  const names = [...new Set(runs.flatMap(({ series }) => [...series.keys()]))];
  const rank = (name: string) => (name === "loss" ? 0 : name.startsWith("eval") ? 1 : name === "gpu_bytes" ? 3 : 2);
  return names.sort((a, b) => rank(a) - rank(b));
}

export const statusOf = ({ end }: Run): "ok" | "failed" | "unfinished" =>
  end === undefined ? "unfinished" : end.ok === true ? "ok" : "failed";
