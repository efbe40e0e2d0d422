/**
 * Reads run logs (the JSON lines of --log), and what `evaluate` wrote, into runs. What a file holds is not trusted.
 */
import fs from "node:fs";
import { UserError } from "../errors.ts";
import { emptyInput } from "../input-end.ts";
import { inertFields, LogLines } from "./log-lines.ts";
import type { Run } from "./run.ts";
import { isObject, type Series } from "./run-builder.ts";
import { samplesOf } from "./sources/samples.ts";

export type { Run } from "./run.ts";

/** Reads a log; "-" is stdin. Throws UserError for a file that is missing, is not a log, or is empty. */
export const readRuns = (file: string): Run[] => runsOf(file, textOf(file));

function textOf(file: string): string {
  try {
    return fs.readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(`${file} cannot be read (${code})`, "give a log that a script wrote with --log");
  }
}

/** What a file that is no log lacks. */
const NOTHING = {
  ...{ step: undefined, seconds: undefined, series: new Map(), tables: [], fronts: [] },
  ...{ numbers: {}, samples: [], warnings: [], bad: [] },
};

/** The runs of a log's text. A run that was killed and resumed appends to its log, and is one run. */
export function runsOf(file: string, text: string): Run[] {
  const read = new LogLines();
  const lines = text.split("\n");
  for (const [at, line] of lines.entries()) read.take(line, at === lines.length - 1);
  const { runs, bad } = read;
  const rows = runs.length === 0 ? resultRows(text) : undefined;
  const base = file === "-" ? "stdin" : (file.split("/").at(-1) ?? file).replace(/\.(jsonl?|log)$/, "");
  if (rows) {
    const [start, end] = [{ script: "evaluate" }, { ok: true }];
    return [{ name: base, file, start, end, ...NOTHING, tables: [rows] }];
  }
  const samples = runs.length === 0 ? samplesOf(text) : undefined;
  if (samples) return [{ name: base, file, start: { script: "sample" }, end: { ok: true }, ...NOTHING, samples }];
  if (file === "-" && text === "") throw emptyInput("stdin", 0);
  if (runs.length === 0)
    throw new UserError(
      text.trim() === "" ? `${file} is empty` : `${file} is not a log: it has no start event`,
      "give a log that a script wrote with --log FILE, what evaluate or sample wrote as JSON, a sweep or a checkpoint",
    );
  return runs.map(({ start, end, step, seconds, series, tables, fronts, warnings }, i) => ({
    name: runs.length > 1 ? `${base} ${i + 1}` : base,
    file,
    start,
    end,
    step,
    seconds,
    series,
    tables,
    fronts,
    numbers: {},
    samples: [],
    warnings: [...warnings],
    bad,
  }));
}

/**
 * The rows of what `evaluate` wrote, as JSON (an object with `rows`) or as JSON lines (a row each); undefined where the
 * text is neither.
 */
function resultRows(text: string): Record<string, unknown>[] | undefined {
  const parsed = (part: string): unknown => {
    try {
      return JSON.parse(part);
    } catch {
      return undefined;
    }
  };
  const whole = parsed(text);
  const rows = isObject(whole)
    ? Array.isArray(whole.rows)
      ? whole.rows
      : [whole]
    : text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [parsed(line)]));
  const isRow = (row: unknown): row is Record<string, unknown> => isObject(row) && typeof row.model === "string";
  return rows.length > 0 && rows.every(isRow) ? rows.map(inertFields) : undefined;
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

/** A run's options, with its seed and method. */
const optionsOf = ({ start }: Run): Record<string, unknown> => ({
  seed: start.seed,
  method: start.method,
  ...(isObject(start.options) ? start.options : {}),
});

/**
 * Options in which the runs differ, each with its value in every run; undefined where a run lacks it. Scripts have
 * different options, so a missing one counts only between runs of one script.
 */
export function differences(runs: readonly Run[]): { option: string; values: unknown[] }[] {
  const options = runs.map(optionsOf);
  const names = [...new Set(options.flatMap((given) => Object.keys(given)))];
  return names.flatMap((option) => {
    const values = options.map((given) => given[option]);
    const texts = values.map(spellOption);
    const differs =
      new Set(texts.filter((text) => text !== undefined)).size > 1 ||
      runs.some(({ start }, i) =>
        runs.some((other, j) => other.start.script === start.script && texts[i] !== texts[j]),
      );
    return differs && option !== "out" && option !== "log" ? [{ option, values }] : [];
  });
}

/** An option's value on one line. */
export const spellOption = (value: unknown): string | undefined =>
  value === undefined || typeof value === "string" ? value : JSON.stringify(value);

/** Names of all metrics, losses first. */
export function metricsOf(runs: readonly Run[]): string[] {
  const names = [...new Set(runs.flatMap(({ series }) => [...series.keys()]))];
  const rank = (name: string) => (name === "loss" ? 0 : name.startsWith("eval") ? 1 : name === "gpu_bytes" ? 3 : 2);
  return names.sort((a, b) => rank(a) - rank(b));
}

export const statusOf = ({ end }: Run): "ok" | "failed" | "unfinished" =>
  end === undefined ? "unfinished" : end.ok === true ? "ok" : "failed";
