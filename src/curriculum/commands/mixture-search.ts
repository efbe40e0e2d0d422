/**
 * `curriculum mixture-search`: which parts of a corpus to train on, by averages of models that were trained on one part
 * each. Na et al., EMNLP 2024, https://arxiv.org/abs/2410.15661
 *
 *   proxy(S) = loss of mean_{u in S} theta_u, theta_u trained from one start on unit u under one schedule
 *
 * N trainings once, then an average and an evaluation for every mixture. Averages are worse than training on the union,
 * and rank mixtures alike; `--calibrate` trains on some pairs for real and says how alike.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import { HeldOut, heldOutGroups, meanOfGroups } from "../../run/training/held-out.ts";
import { Perturbation } from "../../run/training/perturbation.ts";
import { trainModel } from "../../run/training/train-model.ts";
import { humanBytes } from "../../text/format.ts";
import { allMixtures, drawPairs, greedyMixtures, type Mixture, pearson, spearman } from "../mixtures.ts";
import { curriculumObjective } from "../objective.ts";
import type { MIXTURE_SEARCH } from "../options.ts";
import type { ShortRun } from "../short-runs.ts";
import { runOn, type Unit, unitsIn, unitsOf } from "../unit-runs.ts";
import { UnitWeights } from "../unit-weights.ts";
import { type OpenedRuns, openShortRuns, storedBytes } from "./open-short-runs.ts";

/** Parts of which all mixtures are looked at. */
const MOST_PARTS = 12;
const MOST_UNITS = 64;

type SearchContext = Context<typeof MIXTURE_SEARCH>;

/** What is trained and looked at, before any work. */
interface Plan extends OpenedRuns {
  readonly units: readonly Unit[];
  /** One per unit, then one per pair of parts that is trained for real. */
  readonly runs: readonly ShortRun[];
  readonly pairs: readonly Mixture[];
}

async function planOf(context: SearchContext): Promise<Plan> {
  const { options, seed } = context;
  if (options.lora)
    throw new UserError(
      "--lora: the mean of two adapters' factors is not the mean of their changes",
      "train the weights, or a part of them with --train-only",
    );
  const opened = await openShortRuns(context, "a mixture search", "any");
  const { rows, choices } = opened;
  const { names } = rows;
  if (options.mixtures === "all" && names.length > MOST_PARTS)
    throw new UserError(
      `--mixtures all of ${names.length} parts are ${2 ** names.length - 1} averages; at most ${MOST_PARTS} parts`,
      "give --mixtures greedy",
    );
  const least = Math.min(...rows.counts.map((group) => group.rows));
  const units = unitsOf(rows, { size: options.unit_rows ?? least, seed, most: MOST_UNITS });
  const pairs = drawPairs(names.length, options.calibrate, seed);
  if (options.calibrate > 0 && pairs.length < 3)
    throw new UserError(
      `--calibrate ${options.calibrate} of ${names.length} parts gives ${pairs.length} pairs, too few to rank`,
      "calibrate on 3 pairs or more, of 3 parts or more",
    );
  const run = (chosen: readonly number[], on: string) =>
    runOn(
      rows,
      chosen.map((u) => units[u]!),
      { on, steps: options.part_steps, batchSize: options.batch_size, seed },
    );
  const runs = [
    ...units.map(({ part }, u) => run([u], `${names[part]} (unit ${u + 1})`)),
    ...pairs.map((pair) => run(unitsIn(units, pair), pair.map((part) => names[part]!).join(" + "))),
  ];
  for (const { steps } of runs) choices.rate(1, steps); // refuses a schedule that does not fit before any work
  return { ...opened, units, runs, pairs };
}

/** What would be run, for --dry-run. */
function describe(context: SearchContext, { begun, rows, units, runs, pairs }: Plan): Outcome {
  const parts = rows.names.length;
  const mixtures = context.options.mixtures === "all" ? 2 ** parts - 1 : (parts * (parts + 1)) / 2;
  const steps = runs.reduce((sum, run) => sum + run.steps, 0);
  const weights = storedBytes(begun);
  const count = (n: number) => n.toLocaleString("en-US");
  const plan = { parts, units: units.length, pairs: pairs.length, mixtures, steps, weights };
  context.print(
    [
      `data: ${rows.counts.map(({ name, rows }) => `${name} ${count(rows)} rows`).join("; ")}, in ${units.length} units`,
      `${runs.length} trainings, ${pairs.length} of them on pairs: ${count(steps)} steps of ${context.options.batch_size} rows`,
      `${count(mixtures)} averages, each evaluated once`,
      `weights: ${humanBytes(weights)} as stored; ${units.length + 1} copies of what is trained stay on the GPU, in f32`,
    ].join("\n"),
  );
  context.json(plan);
  return {};
}

/** What a training's weights depend on. */
function identityOf({ decisive, seed }: SearchContext, { rows, begun }: Plan, run: ShortRun) {
  const beside = ["mixtures", "calibrate", "eval_data", "eval_split"];
  const options = Object.fromEntries(Object.entries(decisive).filter(([name]) => !beside.includes(name)));
  const hash = rows.items.reduce((sum, item) => Bun.hash.xxHash64(JSON.stringify(item), sum), 0n);
  const model = begun.read.map(({ checkpoint }) => checkpoint.headerSha256).join();
  return { ...options, on: run.on, run_steps: run.steps, run_seed: seed, rows: hash.toString(16), model };
}

/** Whether a folder has the weights of this training. Throws UserError where it has others. */
async function isKept(folder: string, identity: Readonly<Record<string, unknown>>): Promise<boolean> {
  if (!existsSync(folder)) return false;
  const checkpoint = await open(folder, { warn: () => {} });
  checkpoint.close();
  const made = checkpoint.lineage.at(-1)?.options ?? {};
  const odd = Object.keys(identity).find((key) => JSON.stringify(made[key]) !== JSON.stringify(identity[key]));
  if (odd === undefined) return true;
  throw new UserError(
    `${folder} holds another training: its ${odd} is ${JSON.stringify(made[odd])}, this one's ${JSON.stringify(identity[odd])}`,
    "give another --keep-parts, or search as it did",
  );
}

/** A training, where it is kept, and whether it is there already. */
interface Kept {
  readonly run: ShortRun;
  readonly folder: string | undefined;
  readonly identity: Readonly<Record<string, unknown>>;
  readonly isDone: boolean;
}

async function keptRuns(context: SearchContext, plan: Plan): Promise<Kept[]> {
  const { keep_parts } = context.options;
  const names = [
    ...plan.units.map((_, u) => `unit-${u + 1}`),
    ...plan.pairs.map((pair) => `pair-${pair.map((part) => part + 1).join("-")}`),
  ];
  const kept: Kept[] = [];
  for (const [i, run] of plan.runs.entries()) {
    const identity = identityOf(context, plan, run);
    const folder = keep_parts && join(keep_parts, names[i]!);
    kept.push({ run, folder, identity, isDone: folder !== undefined && (await isKept(folder, identity)) });
  }
  return kept;
}

/** Trains the model on a run, and writes it where it is kept. */
async function trainOn(context: SearchContext, { begun, rows, choices }: Plan, model: Model, kept: Kept) {
  const { options, seed, signal } = context;
  const { run, folder, identity } = kept;
  const { on, source, steps } = run;
  const objective = curriculumObjective({
    ...{ model, names: rows.names, taskLoss: options.task_loss ?? "token-mean", sampleWeight: "uniform" },
    ...{ focus: options.focus, recompute: options.recompute, groupWeights: () => undefined },
  });
  await trainModel({
    ...{ model, source, objective, optimizer: choices.optimizer, steps, seed, signal },
    rate: (step) => choices.rate(step, steps),
    decays: ({ shape }) => options.decay_all || shape.length > 1,
    ...{ clip: options.clip, stateDtype: options.state_dtype },
    ...{ name: `${begun.ref} on ${on}`, advice: "lower --lr, or give --clip 1" },
  });
  signal.throwIfAborted();
  if (!folder) return;
  const step = { script: "curriculum", version: context.version, method: "mixture-search", options: identity, seed };
  const lineage = lineageOf(step, begun.read, (text) => context.warn(text), begun.others);
  await saveModel(model, `${folder}/`, { files: begun.files, lineage, dtype: "held" });
}

/** The loss of every mixture that is looked at, and of every pair that is trained on. */
async function measured(context: SearchContext, plan: Plan) {
  const { begun, rows, heldOut, units, pairs } = plan;
  const { signal, progress } = context;
  const runs = await keptRuns(context, plan);
  const model = await begun.load(await openGpu({ device: context.device }));
  const start = new Perturbation(model.gpu, model.trainable());
  start.save();
  const weights = new UnitWeights(model);
  const held = new HeldOut(model, heldOut);
  const lossNow = async (of: string) => {
    const loss = meanOfGroups(await held.losses());
    if (Number.isFinite(loss)) return loss;
    throw new UserError(`the held-out loss ${of} is ${loss}`, "lower --lr, or give --clip 1", 1);
  };
  const before = await lossNow(`of ${begun.ref}`);
  progress.start({ total: runs.length, unit: "runs" });
  const trained: number[] = [];
  for (const [i, kept] of runs.entries()) {
    if (kept.isDone) await weights.load(kept.folder!);
    else await trainOn(context, plan, model, kept);
    if (i < units.length) weights.keep(i);
    else trained.push(await lossNow(`after ${kept.run.on}`));
    start.restore();
    progress.advance(1);
  }
  progress.done();
  const proxy = once(async (mixture) => {
    signal.throwIfAborted();
    await weights.average(unitsIn(units, mixture));
    return lossNow(`of the average of ${mixture.map((part) => rows.names[part]).join(" + ")}`);
  });
  const looked = await lookedAt(context, rows.names.length, proxy);
  const foretold: number[] = [];
  for (const pair of pairs) foretold.push(await proxy(pair));
  weights.free();
  start.free();
  await held.free();
  return { before, looked, foretold, trained };
}

type Score = (mixture: Mixture) => Promise<number>;

/** Asks for the score of a mixture once. */
function once(score: Score): Score {
  const known = new Map<string, number>();
  return async (mixture) => {
    const seen = known.get(mixture.join());
    if (seen !== undefined) return seen;
    const found = await score(mixture);
    known.set(mixture.join(), found);
    return found;
  };
}

/** The mixtures that `--mixtures` asks for, with their scores. */
async function lookedAt({ options }: SearchContext, parts: number, proxy: Score) {
  if (options.mixtures === "greedy") return greedyMixtures(parts, proxy);
  const looked: { mixture: Mixture; score: number }[] = [];
  for (const mixture of allMixtures(parts)) looked.push({ mixture, score: await proxy(mixture) });
  return looked;
}

/** How well averages foretell training; undefined without pairs. */
function calibrationOf({ rows, pairs }: Plan, foretold: readonly number[], trained: readonly number[]) {
  if (pairs.length === 0) return undefined;
  const mean = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;
  return {
    spearman: spearman(foretold, trained),
    pearson: pearson(foretold, trained),
    bias: mean(foretold) - mean(trained),
    pairs: pairs.map((pair, i) => ({
      parts: pair.map((part) => rows.names[part]!),
      ...{ proxy: foretold[i]!, trained: trained[i]! },
    })),
  };
}

export async function mixtureSearch(context: SearchContext): Promise<Outcome> {
  const { options } = context;
  const groups = groupsOf(options.data, "--data", options.columns);
  const evaluated = heldOutGroups(options, undefined);
  const result = textResult(
    context,
    [...groups, ...evaluated].map(({ path }) => path),
  );
  const plan = await planOf(context);
  if (context.dryRun) return describe(context, plan);
  const { before, looked, foretold, trained } = await measured(context, plan);
  const { names } = plan.rows;
  const ranked = [...looked].sort((a, b) => a.score - b.score);
  const mixtures = ranked.map(({ mixture, score }) => ({
    parts: mixture.map((part) => names[part]!),
    ...{ loss: score, perplexity: Math.exp(score) },
  }));
  const calibration = calibrationOf(plan, foretold, trained);
  const [best] = mixtures;
  const like =
    calibration && `; rank correlation with training on ${trained.length} pairs ${calibration.spearman.toFixed(2)}`;
  context.info(
    `best of ${mixtures.length} mixtures: ${best!.parts.join(" + ")}, loss ${best!.loss.toFixed(4)}${like ?? ""}`,
  );
  if (calibration && !(calibration.spearman > 0.7))
    context.warn("averages do not rank these parts as training does (0.7 is asked for): do not choose by them");
  const value = { start: before, mixtures, ...(calibration && { calibration }) };
  context.log.event("result", { value });
  return result(JSON.stringify(value, null, 2), { best: best!.parts, mixtures: mixtures.length });
}
