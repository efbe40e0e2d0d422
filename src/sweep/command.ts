/** What the `sweep` script does: tries points, seed by seed, and tells what came of them. */
import fs from "node:fs";
import path from "node:path";
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Point, Searcher, SearchMethod } from "../run/searching/contract.ts";
import { difference, LineWriter, linesOf } from "../run/searching/trial-lines.ts";
import { type Plan, planOf } from "./commands/plan.ts";
import type { SWEEP } from "./options.ts";
import { scoresOf, summaryJson, summaryOf, summaryText } from "./summary.ts";
import { runTrial, TRIALS, type Trial, trialName, trialOf, tryFirst } from "./trial.ts";
import { wordsOf } from "./values.ts";

type SweepContext = Context<typeof SWEEP>;

/** Runs the script. Exit code 1 where a trial failed. */
export async function sweep(context: SweepContext): Promise<Outcome> {
  const { options, args, seed, out, dryRun } = context;
  const { vary = [], fixed = [], measure = [], metric, budget, trial } = options;
  const [search] = context.picks.search as readonly Bound<SearchMethod>[];
  const plan = await planOf({
    ...{ args, vary, fixed, measure, metric, budget, trial, seed, out },
    search: search!,
    seeds: options.seeds,
  });
  const { commands, goals, seeds } = plan;
  const known = knownTrials(plan);
  const count = plan.budget * seeds.length;
  const about = { points: plan.budget, seeds: seeds.length, trials: count, done: known.size };
  if (dryRun) {
    context.json({ ...about, space: JSON.parse(JSON.stringify(plan.space)) });
    context.print(`${plan.budget} points, ${count} trials, ${known.size} of them done`);
    return {};
  }
  if (known.size === 0) await tryFirst(commands, wordsOf(plan.space, firstOf(plan)), seed, context.signal);
  fs.mkdirSync(commands.folder, { recursive: true });
  const file = path.join(commands.folder, fileName(plan));
  const writer = new LineWriter(file, plan.head, "--out");
  context.onExit((ok) =>
    ok ? undefined : `trials that ended are in ${file}; the same command goes on with the others`,
  );
  context.progress.start({ total: count, unit: "trials" });
  const trials = await allTrials(context, plan, known, (made) => {
    writer.add({ ...made, metrics: { ...made.metrics } });
    if (made.exit !== 0)
      context.warn(`trial ${trialName(made.trial, made.seed)} failed: ${made.error?.split("\n")[0]}`);
  });
  context.progress.done();
  const rows = summaryOf(trials, goals);
  context.json({ ...about, done: trials.length, rows: summaryJson(rows, goals) });
  if (!options.json) context.print(summaryText(rows, goals));
  const missing = goals.find((_, g) => rows.length > 0 && rows.every(({ values }) => values[g] === undefined));
  if (missing) context.warn(`no trial has a number ${missing.name}; they have ${namesOf(trials)}`);
  const failed = trials.filter(({ exit }) => exit !== 0).length;
  return {
    output: `${commands.folder}/ (${trials.length} trials${failed > 0 ? `, ${failed} failed` : ""})`,
    next: `bun run report ${commands.folder}/`,
    ...(failed > 0 || missing ? { exitCode: 1 as const } : {}),
  };
}

const firstOf = ({ space }: Plan) => space.map((gene) => gene.default);

const namesOf = (trials: readonly Trial[]): string => {
  const names = [...new Set(trials.flatMap(({ metrics }) => Object.keys(metrics)))];
  return names.length > 0 ? names.slice(0, 12).join(", ") : "none";
};

const fileName = ({ share }: Plan): string =>
  share ? `trials-${share.worker + 1}-of-${share.of}.jsonl` : "trials.jsonl";

const keyOf = (trial: number, seed: number): string => `${trial} ${seed}`;

/** Trials of earlier runs, by number and seed. Throws UserError for those of another sweep. */
function knownTrials({ commands: { folder }, head }: Plan): Map<string, Trial> {
  const known = new Map<string, Trial>();
  if (!fs.existsSync(folder)) return known;
  const names = fs.readdirSync(folder).filter((name) => TRIALS.test(name));
  for (const name of names.sort()) {
    const file = path.join(folder, name);
    const { lines } = linesOf(file);
    const [first, ...rest] = lines;
    if (first === undefined) continue;
    const odd = difference(first, head);
    if (odd !== undefined)
      throw new UserError(`${file} holds trials of another sweep: ${odd}`, "name another folder, or sweep as it did");
    for (const [i, line] of rest.entries()) {
      const trial = trialOf(line);
      if (!trial) throw new UserError(`${file}, line ${i + 2} is no trial`, "name another folder");
      // One that failed is tried again.
      if (trial.exit === 0) known.set(keyOf(trial.trial, trial.seed), trial);
    }
  }
  return known;
}

interface NumberedPoint {
  readonly trial: number;
  readonly point: Point;
}

/** Makes the trials that are not known; gives all, those of a share alone where one is asked for. */
async function allTrials(
  context: SweepContext,
  plan: Plan,
  known: ReadonlyMap<string, Trial>,
  done: (trial: Trial) => void,
): Promise<Trial[]> {
  const { search, space, budget, goals, share } = plan;
  const { method, values } = search;
  const searcher = await method.make({
    ...{ space, budget, seed: context.seed, values, models: 0 },
    objectives: goals.map(({ name }) => name),
    note: (line) => context.info(line),
  });
  const attempt = async (points: readonly NumberedPoint[]) => {
    const asked = points.flatMap(({ trial, point }) => plan.seeds.map((seed) => ({ trial, point, seed })));
    return together(asked, context.options.jobs, async ({ trial, point, seed }) => {
      const named = Object.fromEntries(space.map(({ name }, i) => [name, point.values[i]!]));
      const before = known.get(keyOf(trial, seed));
      const made =
        before && JSON.stringify(before.point) === JSON.stringify(named)
          ? before
          : await runTrial(plan.commands, {
              ...{ trial, seed, point: named, signal: context.signal },
              varied: wordsOf(space, point.values),
            });
      if (made !== before) done(made);
      context.progress.advance(1);
      return made;
    });
  };
  if (method.independent) {
    const points = await pointsOf(searcher, budget);
    return attempt(share ? points.filter(({ trial }) => trial % share.of === share.worker) : points);
  }
  const trials: Trial[] = [];
  for (let made = 0; made < budget; ) {
    const batch = (await searcher.ask()).slice(0, budget - made).map((point, i) => ({ trial: made + i, point }));
    if (batch.length === 0) break;
    made += batch.length;
    const ended = await attempt(batch);
    trials.push(...ended);
    const scored = batch.map(({ trial, point }) => {
      const of = ended.filter((one) => one.trial === trial);
      return { point, scores: scoresOf(of, goals) };
    });
    if (made < budget) await searcher.tell(scored);
  }
  return trials;
}

/** All points of a search that hears nothing. */
async function pointsOf(searcher: Searcher, budget: number): Promise<NumberedPoint[]> {
  const points: NumberedPoint[] = [];
  while (points.length < budget) {
    const batch = await searcher.ask();
    if (batch.length === 0) break;
    for (const point of batch.slice(0, budget - points.length)) points.push({ trial: points.length, point });
    await searcher.tell([]);
  }
  return points;
}

/** Works on all items, some at a time; results in the order of the items. The first error ends it, when all rest. */
async function together<T, R>(items: readonly T[], most: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const one = async () => {
    while (next < items.length && !failure) {
      const at = next++;
      try {
        results[at] = await work(items[at]!);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, one));
  if (failure) throw failure.error;
  return results;
}
