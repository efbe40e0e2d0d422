/** Trials of a sweep as runs: what `sweep` left in its folder, with the logs of the trials. */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { runsOf } from "../read.ts";
import type { Run } from "../run.ts";
import { isObject } from "../run-builder.ts";

const NAMES = /^trials(-\d+-of-\d+)?\.jsonl$/;

/** Files of trials in a folder, by name. */
export const trialFiles = (folder: string): string[] =>
  fs
    .readdirSync(folder)
    .filter((name) => NAMES.test(name))
    .sort()
    .map((name) => path.join(folder, name));

const numbersOf = (value: unknown): Record<string, number> =>
  isObject(value)
    ? Object.fromEntries(
        Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
      )
    : {};

/** The runs of a folder, in the order of their points and seeds. Throws UserError for one without a trial. */
export function sweepRuns(folder: string): Run[] {
  const trials = new Map<string, Run & { place: readonly [number, number] }>();
  for (const file of trialFiles(folder))
    for (const line of fs.readFileSync(file, "utf8").split("\n")) {
      const trial = parsed(line);
      if (!isObject(trial) || typeof trial.trial !== "number" || typeof trial.seed !== "number") continue;
      const name = `trial ${trial.trial}, seed ${trial.seed}`;
      trials.set(name, { ...runOf(folder, name, trial), place: [trial.trial, trial.seed] });
    }
  if (trials.size === 0)
    throw new UserError(`${folder} has no trial that ended`, "wait for the sweep, or go on with it");
  return [...trials.values()]
    .sort((a, b) => a.place[0] - b.place[0] || a.place[1] - b.place[1])
    .map(({ place: _, ...run }) => run);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // a part of a line
  }
}

function runOf(folder: string, name: string, trial: Record<string, unknown>): Run {
  const point = isObject(trial.point) ? trial.point : {};
  const file = typeof trial.log === "string" ? path.join(folder, trial.log) : undefined;
  const logged =
    file !== undefined && fs.existsSync(file) ? runsOf(file, fs.readFileSync(file, "utf8")).at(-1) : undefined;
  const ok = trial.exit === 0;
  return {
    file: file ?? folder,
    step: logged?.step,
    series: logged?.series ?? new Map(),
    tables: logged?.tables ?? [],
    fronts: [],
    warnings: [],
    bad: [],
    samples: [],
    ...(typeof trial.seconds === "number" ? { seconds: trial.seconds } : { seconds: logged?.seconds }),
    name,
    // What varies is what a reader compares; all trials have the rest.
    start: {
      event: "start",
      script: logged?.start.script,
      method: logged?.start.method,
      seed: trial.seed,
      options: point,
    },
    end: { ok, ...(ok ? {} : { error: trial.error }), out: trial.out },
    numbers: numbersOf(trial.metrics),
  };
}
