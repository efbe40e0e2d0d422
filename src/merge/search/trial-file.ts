/**
 * Trials as JSON lines: first what is searched, then a line per trial, written when the trial ends. A search that was
 * killed reads its file and goes on; a worker of an array job has a file of its own, and the last step reads all.
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import type { Point } from "../../run/searching/contract.ts";
import type { Space } from "../../run/searching/space.ts";
import { difference, LineWriter, linesOf } from "../../run/searching/trial-lines.ts";
import type { Measures } from "./objective.ts";

/** The number of the trial that a search makes after its last one, of a point that it gives then. */
export const LAST = -1;

/** A trial that was made. */
export interface Trial {
  /** From 0; LAST for the one after all others. */
  readonly trial: number;
  readonly point: Point;
  /** NaN where the metric has no value, or the merge failed. */
  readonly measures: Measures;
  readonly seconds: number;
  /** Why its merge was refused. */
  readonly failed?: string;
}

/** What decides the trials of a search beside its budget. */
export interface SearchIdentity {
  readonly search: string;
  readonly seed: number;
  readonly objectives: readonly string[];
  readonly space: Space;
  /** The recipe at the defaults, options of the search, data: whatever else must be the same. */
  readonly settings: JsonObject;
}

const headOf = ({ search, seed, objectives, space, settings }: SearchIdentity): JsonObject =>
  JSON.parse(JSON.stringify({ search, seed, objectives, space, settings })) as JsonObject;

function lineOf({ trial, point, measures, seconds, failed }: Trial, { space, objectives }: SearchIdentity): JsonObject {
  return {
    trial: trial === LAST ? "last" : trial,
    point: Object.fromEntries(space.map(({ name }, i) => [name, point.values[i]!])),
    ...(point.extra && { extra: { ...point.extra } }),
    scores: Object.fromEntries(objectives.map((name, i) => [name, Number.isFinite(measures[i]) ? measures[i]! : null])),
    ...(failed !== undefined && { failed }),
    seconds: Math.round(seconds * 1e4) / 1e4,
  };
}

function trialOf(line: JsonObject, { space, objectives }: SearchIdentity): Trial | undefined {
  const { trial, point, extra, scores, seconds, failed } = line;
  const number = trial === "last" ? LAST : trial;
  if (typeof number !== "number" || !isObject(point) || !isObject(scores)) return undefined;
  const values = space.map(({ name }) => point[name]);
  if (values.some((value) => value === undefined || value === null || typeof value === "object")) return undefined;
  return {
    trial: number,
    point: {
      values: values as (number | string | boolean)[],
      ...(isObject(extra) && { extra: extra as Record<string, number | string> }),
    },
    measures: objectives.map((name) => (typeof scores[name] === "number" ? scores[name] : Number.NaN)),
    seconds: typeof seconds === "number" ? seconds : 0,
    ...(typeof failed === "string" && { failed }),
  };
}

/**
 * Trials of some files by number. Throws UserError for a file of another search, and one that holds something else.
 */
export function readTrials(files: readonly string[], identity: SearchIdentity): Map<number, Trial> {
  const trials = new Map<number, Trial>();
  const head = headOf(identity);
  for (const file of files) {
    if (!fs.existsSync(file) || fs.statSync(file).size === 0) continue;
    const { lines } = linesOf(file);
    if (lines.length === 0) continue;
    const odd = difference(lines[0]!, head);
    if (odd !== undefined)
      throw new UserError(`${file} holds trials of another search: ${odd}`, "name another file, or search as it did");
    for (const [i, line] of lines.slice(1).entries()) {
      const trial = trialOf(line, identity);
      if (!trial) throw new UserError(`${file}, line ${i + 2} is no trial of this search`, "name another file");
      if (trial.trial === LAST || !trials.has(trial.trial)) trials.set(trial.trial, trial);
    }
  }
  return trials;
}

/** Appends trials to a file, whose first line says what is searched. */
export class TrialWriter {
  readonly #lines: LineWriter | undefined;
  readonly #identity: SearchIdentity;

  /** Goes on after the last whole line, if the file is there. Throws UserError where it cannot be written. */
  constructor(file: string | undefined, identity: SearchIdentity) {
    this.#identity = identity;
    this.#lines = file === undefined ? undefined : new LineWriter(file, headOf(identity), "--trials");
  }

  add(trial: Trial): void {
    this.#lines?.add(lineOf(trial, this.#identity));
  }
}

/** A trial for machines. */
export const trialJson = (trial: Trial, identity: SearchIdentity): JsonObject => lineOf(trial, identity);
