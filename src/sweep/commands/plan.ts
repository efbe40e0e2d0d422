/** A sweep as the command line says it, checked before the first trial. */
import fs from "node:fs";
import path from "node:path";
import { definitionOf, scriptFile, understood } from "../../cli/definitions.ts";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { Bound } from "../../method/bind.ts";
import type { SearchMethod } from "../../run/searching/contract.ts";
import { type Share, shareOf } from "../../run/searching/share.ts";
import { type Space, sizeOfGene } from "../../run/searching/space.ts";
import { type Goal, goalOf } from "../goals.ts";
import { type Commands, OUT, TRIALS } from "../trial.ts";
import { spaceOf, wordsOf } from "../values.ts";

/** The points of a search without a budget. */
const USUAL_BUDGET = 16;
/** The points of the largest grid. */
const LARGEST_GRID = 100_000;
/** What every trial has of its own. */
const OWN = ["--out", "-o", "--log", "--seed", "--json", "--dry-run", "-n", "--resume", "--overwrite"];

export interface Plan {
  readonly commands: Commands;
  readonly space: Space;
  readonly goals: readonly Goal[];
  readonly search: Bound<SearchMethod>;
  readonly budget: number;
  readonly seeds: readonly number[];
  readonly share: Share | undefined;
  /** What decides the trials, for those who go on with them. */
  readonly head: JsonObject;
}

export interface Given {
  readonly args: readonly string[];
  readonly vary: readonly string[];
  readonly fixed: readonly string[];
  readonly measure: readonly string[];
  readonly metric: readonly string[];
  readonly search: Bound<SearchMethod>;
  readonly budget: number | undefined;
  readonly seeds: number;
  readonly seed: number;
  readonly trial: string | undefined;
  readonly out: string;
}

/** Throws UserError for the first thing that is wrong, also of the scripts that would run. */
export async function planOf(given: Given): Promise<Plan> {
  const [script, ...args] = given.args;
  if (script === undefined)
    throw new UserError("no script was named", "the script comes first, then its models: ingot sweep train base/ ...");
  await definitionOf(script);
  const space = spaceOf(given.vary);
  checkFixed(given.fixed);
  const goals = await Promise.all(given.metric.map(goalOf));
  const folder = given.out.replace(/\/+$/, "") || "/";
  if (given.out === "-") throw new UserError("a sweep leaves a folder of trials", "name one: -o sweep/");
  checkFolder(folder);
  const words = [...args, ...given.fixed];
  const writes = await checkPoints(script, words, space, path.join(folder, "trial"));
  await checkMeasure(given.measure, writes, path.join(folder, "trial"));
  checkSearch(given.search.method, goals);
  const search = given.search;
  return {
    commands: {
      folder,
      script,
      words,
      writes,
      measure: given.measure,
      start: (name) => [process.execPath, scriptFile(name)],
    },
    space,
    goals,
    search,
    budget: budgetOf(search.method, space, given.budget),
    seeds: Array.from({ length: given.seeds }, (_, i) => given.seed + i),
    share: given.trial === undefined ? undefined : shareOf(given.trial, search.method),
    head: {
      sweep: { script, words, measure: [...given.measure] },
      space: JSON.parse(JSON.stringify(space)),
      search: search.method.name,
      settings: JSON.parse(JSON.stringify(search.values)),
      seed: given.seed,
      // A search that hears scores goes by them.
      metrics: search.method.independent ? [] : goals.map(({ name, better }) => `${name}:${better}`),
    },
  };
}

/** Trials replace what an earlier process left of them, so the folder is the sweep's own. */
function checkFolder(folder: string): void {
  if (!fs.existsSync(folder)) return;
  if (!fs.statSync(folder).isDirectory())
    throw new UserError(`--out: ${folder} is a file`, "name a folder for the trials");
  const names = fs.readdirSync(folder);
  if (names.length > 0 && !names.some((name) => TRIALS.test(name)))
    throw new UserError(`--out: ${folder} has other files and no sweep`, "name a folder that is new, or empty");
}

function checkFixed(fixed: readonly string[]): void {
  const own = fixed.find((word) => OWN.includes(word.split("=", 1)[0]!));
  if (own !== undefined)
    throw new UserError(
      `${own} is each trial's own`,
      "leave it out behind --; -o before -- is the folder of all trials",
    );
}

/** Every value is one that the script takes. Gives whether it writes a checkpoint. */
async function checkPoints(script: string, words: readonly string[], space: Space, place: string): Promise<boolean> {
  const start = space.map((gene) => gene.default);
  const points = [start, ...space.flatMap((gene, i) => endsOf(gene).map((value) => start.with(i, value)))];
  let writes = false;
  for (const point of points) {
    const varied = wordsOf(space, point);
    const given = [...words, ...varied, `--out=${place}/`];
    const { output } = await said(`${script} ${varied.join(" ")}`, () => understood(script, given));
    writes = output === "checkpoint";
  }
  return writes;
}

/** Throws the UserError of `work` with the command that it is about. */
async function said<T>(command: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${command}: ${error.message}`, error.hint);
  }
}

const endsOf = (gene: Space[number]) => (gene.kind === "choice" ? gene.choices : [gene.low, gene.high]);

async function checkMeasure([script, ...words]: readonly string[], writes: boolean, place: string): Promise<void> {
  if (script === undefined) return;
  if (!words.some((word) => word.includes(OUT)))
    throw new UserError(
      `the measuring command does not name ${OUT}`,
      `that is where a trial's result stands: evaluate ${OUT}`,
    );
  if (!writes)
    throw new UserError("the script writes no checkpoint to measure", "leave out what stands after the second --");
  const placed = words.map((word) => word.replaceAll(OUT, place));
  await said(`${script} ${words.join(" ")}`, () => understood(script, placed));
}

function checkSearch({ name, merge, needs = [], objectives }: SearchMethod, goals: readonly Goal[]): void {
  if (merge !== undefined || needs.length > 0)
    throw new UserError(`--search ${name} is for merges`, "use grid, random, cma-es, bo or nsga");
  if (objectives === "one" && goals.length > 1)
    throw new UserError(
      `--search ${name} goes by one metric, and ${goals.length} are given`,
      "use grid, random or nsga",
    );
  if (objectives === "many" && goals.length < 2)
    throw new UserError(
      `--search ${name} weighs metrics against each other, and one is given`,
      "name two with --metric",
    );
}

function budgetOf({ name }: SearchMethod, space: Space, budget: number | undefined): number {
  if (name !== "grid" || budget !== undefined) return budget ?? USUAL_BUDGET;
  const endless = space.find((gene) => !Number.isFinite(sizeOfGene(gene)));
  if (endless)
    throw new UserError(
      `--${endless.name.replaceAll("_", "-")} has no number of points for a grid`,
      "write lo..hi:5, give --budget, or use --search random",
    );
  const points = space.reduce((product, gene) => product * sizeOfGene(gene), 1);
  if (points > LARGEST_GRID) throw new UserError(`the grid has ${points} points`, "vary less, or use --search random");
  return points;
}
