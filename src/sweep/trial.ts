/** One trial: a script in a process of its own, in a folder of its own, and what measures its result. */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject, parseJson } from "../json.ts";
import { runProgram } from "../run/child-program.ts";
import { metricsIn } from "./goals.ts";

/** What stands for the place of a trial's result among the words of a command. */
export const OUT = "{out}";

/** Files of trials in a sweep's folder. */
export const TRIALS = /^trials(-\d+-of-\d+)?\.jsonl$/;

/** The parts of a trial's commands that all trials share. */
export interface Commands {
  /** Where the trials lie. */
  readonly folder: string;
  /** Words that start a script, before its own. */
  readonly start: (script: string) => readonly string[];
  readonly script: string;
  /** The words of all trials, without what varies. */
  readonly words: readonly string[];
  /** Whether the script writes a checkpoint, which goes to the trial's folder. */
  readonly writes: boolean;
  /** A script with its words, `{out}` among them, that measures the result. */
  readonly measure: readonly string[];
}

/** A trial that ended. */
export interface Trial {
  /** The number of its point, from 0. */
  readonly trial: number;
  readonly point: JsonObject;
  readonly seed: number;
  /** Numbers of what the commands printed with --json, by their paths. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly exit: number;
  /** Of its log and its result, from the sweep's folder. */
  readonly log: string;
  readonly out?: string;
  /** The last words of a trial that failed. */
  readonly error?: string;
}

/** The name of a trial's folder. */
export const trialName = (trial: number, seed: number): string => `${String(trial).padStart(4, "0")}-seed-${seed}`;

/** The words of a trial: what it shares with all, what varies, its seed and its places. */
export function trialWords(
  { words, writes }: Commands,
  varied: readonly string[],
  seed: number,
  own: string,
): readonly string[] {
  const places = [`--log=${path.join(own, "log.jsonl")}`, ...(writes ? [`--out=${path.join(own, "model")}/`] : [])];
  return [...words, ...varied, `--seed=${seed}`, ...places, "--json", "--quiet"];
}

interface Asked {
  readonly trial: number;
  readonly point: JsonObject;
  readonly varied: readonly string[];
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Runs a trial; what an earlier process left of it goes first. Throws what the signal says where that aborts. */
export async function runTrial(commands: Commands, { trial, point, varied, seed, signal }: Asked): Promise<Trial> {
  const name = trialName(trial, seed);
  const own = path.join(commands.folder, name);
  fs.rmSync(own, { recursive: true, force: true });
  fs.mkdirSync(own, { recursive: true });
  const began = performance.now();
  const words = trialWords(commands, varied, seed, own);
  const ran = [await printed([...commands.start(commands.script), ...words], own, "run", signal)];
  const [measuring, ...rest] = commands.measure;
  if (ran[0]!.code === 0 && measuring !== undefined) {
    const placed = rest.map((word) => word.replaceAll(OUT, `${path.join(own, "model")}/`));
    const asked = [...commands.start(measuring), ...placed, "--json", "--quiet"];
    ran.push(await printed(asked, own, "measure", signal));
  }
  const last = ran.at(-1)!;
  return {
    trial,
    point,
    seed,
    metrics: Object.assign({}, ...ran.map(({ value }) => metricsIn(value))),
    seconds: Math.round(performance.now() - began) / 1000,
    exit: last.code,
    log: path.join(name, "log.jsonl"),
    ...(commands.writes && { out: path.join(name, "model") }),
    ...(last.code !== 0 && { error: last.said }),
  };
}

/**
 * Says what a trial would do, without doing it. Throws UserError with the script's own words where it refuses what all
 * trials have.
 */
export async function tryFirst(
  commands: Commands,
  varied: readonly string[],
  seed: number,
  signal: AbortSignal,
): Promise<void> {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-sweep-"));
  try {
    const words = [...commands.start(commands.script), ...trialWords(commands, varied, seed, place), "--dry-run"];
    const { code, said } = await printed(words, place, "dry", signal);
    if (code === 0) return;
    const [message = "it fails", hint] = said.split(/\n\s*hint: /);
    throw new UserError(`the first trial is refused: ${message.trim()}`, hint?.trim());
  } finally {
    fs.rmSync(place, { recursive: true, force: true });
  }
}

/** Runs a command whose stdout and stderr are kept in the trial's folder. */
async function printed(words: readonly string[], own: string, name: string, signal: AbortSignal) {
  const [out, err] = [path.join(own, `${name}.json`), path.join(own, `${name}.txt`)];
  const [outFile, errFile] = [fs.openSync(out, "w"), fs.openSync(err, "w")];
  let code: number | null;
  try {
    code = await runProgram(words, { signal, out: outFile, err: errFile });
  } finally {
    fs.closeSync(outFile);
    fs.closeSync(errFile);
  }
  const said = fs.readFileSync(err, "utf8").trim();
  return { code: code ?? 1, value: jsonIn(fs.readFileSync(out, "utf8")), said: said.slice(-LONGEST) };
}

/** Most characters of a failed trial's last words. */
const LONGEST = 500;

/** The JSON of a text, or of its last line; undefined where neither is. */
function jsonIn(text: string): Json | undefined {
  for (const part of [text, text.trim().split("\n").at(-1) ?? ""]) {
    try {
      return parseJson(part, "stdout").value;
    } catch {
      // the next part
    }
  }
  return undefined;
}

/** A line of a file as a trial; undefined where it is none. */
export function trialOf(line: JsonObject): Trial | undefined {
  const { trial, point, seed, metrics, seconds, exit, log, out, error } = line;
  if (typeof trial !== "number" || typeof seed !== "number" || typeof exit !== "number") return undefined;
  if (!isObject(point) || !isObject(metrics) || typeof log !== "string") return undefined;
  return {
    ...{ trial, point, seed, exit, log, metrics: metricsIn(metrics) },
    seconds: typeof seconds === "number" ? seconds : 0,
    ...(typeof out === "string" && { out }),
    ...(typeof error === "string" && { error }),
  };
}
