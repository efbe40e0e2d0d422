/**
 * `curriculum correlate`: a mixture of groups of text from losses of several models on them, and how well these models
 * do at what one wants: nothing is trained.
 */
import { readFileSync } from "node:fs";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import { bestShares, lossCorrelation } from "../loss-correlation.ts";
import { spearman } from "../mixtures.ts";
import type { CORRELATE } from "../options.ts";

type CorrelateContext = Context<typeof CORRELATE>;

/** What `evaluate` calls all rows together, beside groups. */
const TOGETHER = "all";

/** A figure of a model, as `evaluate --json` writes it. */
interface Figure {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number;
  readonly isHigher: boolean;
}

const HINT = "write it with bun run evaluate MODEL … --json";
const FEW = 10;

/** The figures of a file; those of all rows together are left out where there are groups. Throws UserError. */
function readFigures(file: string): Figure[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`${file} cannot be read: ${(error as Error).message}`, HINT);
  }
  const { value } = parseJson(text, file);
  const rows = isObject(value) ? value.rows : undefined;
  if (!Array.isArray(rows)) throw new UserError(`${file} holds no figures of models`, HINT);
  const figures = rows.map((row, i): Figure => {
    const { model, group, metric, value: number, better } = isObject(row) ? row : {};
    if (typeof model !== "string" || typeof metric !== "string" || typeof number !== "number")
      throw new UserError(`${file}: row ${i + 1} has no model, metric and value`, HINT);
    return { model, group: String(group), metric, value: number, isHigher: better !== "lower" };
  });
  const hasGroups = figures.some(({ group }) => group !== TOGETHER);
  return hasGroups ? figures.filter(({ group }) => group !== TOGETHER) : figures;
}

/** Losses by group, then by model, with both in their order. Throws UserError where some are missing. */
function lossTable(file: string, figures: readonly Figure[], metric: string) {
  const own = figures.filter((figure) => figure.metric === metric);
  if (own.length === 0)
    throw new UserError(
      `${file} has no ${metric}`,
      `it has ${[...new Set(figures.map((figure) => figure.metric))].join(", ")}; --loss-metric names one`,
    );
  const models = [...new Set(own.map(({ model }) => model))];
  const groups = [...new Set(own.map(({ group }) => group))];
  const losses = groups.map((group) =>
    models.map((model) => {
      const found = own.find((figure) => figure.model === model && figure.group === group);
      if (!found)
        throw new UserError(`${file} has no ${metric} of ${model} on ${group}`, "measure all on the same groups");
      return found.isHigher ? -found.value : found.value;
    }),
  );
  return { models, groups, losses };
}

/** The mean score of every model; larger is better. Throws UserError for one without, and for mixed directions. */
function scoresOf(file: string, metric: string | undefined, models: readonly string[]): number[] {
  const all = readFigures(file).filter((figure) => metric === undefined || figure.metric === metric);
  if (metric !== undefined && all.length === 0)
    throw new UserError(`${file} has no ${metric}`, "--score-metric names one");
  const odd = all.find(({ isHigher }) => isHigher !== all[0]!.isHigher);
  if (odd)
    throw new UserError(
      `${file}: of ${all[0]!.metric} and ${odd.metric} one is better when it is higher, one when it is lower`,
      "name one: --score-metric",
    );
  return models.map((model) => {
    const own = all.filter((figure) => figure.model === model).map(({ value }) => value);
    if (own.length === 0)
      throw new UserError(`${file} has no score of ${model}`, "measure the same models in both files");
    const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
    return all[0]!.isHigher ? mean : -mean;
  });
}

/** Tokens of every group. Throws UserError for another form, and for a group that has none. */
function sizesOf(given: readonly string[], groups: readonly string[]): number[] {
  const known = new Map<string, number>();
  for (const text of given.flatMap((each) => each.split(","))) {
    const [name = "", size] = text.split("=");
    if (!groups.includes(name))
      throw new UserError(`--sizes ${text}: there is no group ${name}`, `the groups are ${groups.join(", ")}`);
    if (!(Number(size) > 0)) throw new UserError(`--sizes ${text} should be a group and its tokens`, "such as web=1e9");
    known.set(name, Number(size));
  }
  return groups.map((group) => {
    const size = known.get(group);
    if (size === undefined) throw new UserError(`--sizes says nothing of ${group}`, `--sizes ${group}=1e9`);
    return size;
  });
}

export async function correlate(context: CorrelateContext): Promise<Outcome> {
  const { options, args } = context;
  const [file] = args;
  if (file === undefined || args.length > 1)
    throw new UserError("correlate takes one file of losses", "curriculum correlate losses.json --scores scores.json");
  if (options.scores === undefined) throw new UserError("correlate needs --scores", HINT);
  const result = textResult(context, [file, options.scores]);
  const { models, groups, losses } = lossTable(file, readFigures(file), options.loss_metric);
  if (models.length < 3)
    throw new UserError(`${file} has ${models.length} models`, "three are the least; tens are better");
  if (groups.length < 2) throw new UserError(`${file} has one group`, "measure losses on several: --data a=a.jsonl");
  const scores = scoresOf(options.scores, options.score_metric, models);
  if (new Set(scores).size < 2)
    throw new UserError(`${options.scores}: all models score alike`, "take another measure");
  const sizes = options.sizes ? sizesOf(options.sizes, groups) : groups.map(() => 1);
  const there = sizes.reduce((sum, size) => sum + size, 0);
  const budget = options.budget ?? there / 2;
  if (budget > there)
    throw new UserError(`--budget ${budget}: all groups have ${there}`, "give less, or repeat the text of some");
  if (context.dryRun) {
    context.print(`${models.length} models, ${groups.length} groups: ${budget} of ${there}`);
    context.json({ models: models.length, groups, budget, size: there });
    return {};
  }
  const correlations = losses.map((list) => lossCorrelation(list, scores, options.estimator));
  const mixture = bestShares(correlations, sizes, budget);
  const chosen = models.map((_, i) => -mixture.reduce((sum, share, j) => sum + share * losses[j]![i]!, 0));
  const value = {
    groups,
    mixture,
    correlations,
    models: models.length,
    of_mixture: spearman(chosen, scores),
  };
  if (models.length < FEW)
    context.warn(`${models.length} models say little: correlations of fewer than ${FEW} are mostly chance`);
  context.log.event("result", { value });
  const best = [...groups.keys()].sort((a, b) => correlations[b]! - correlations[a]!).slice(0, 3);
  context.info(
    `correlations are largest on ${best.map((j) => `${groups[j]} ${correlations[j]!.toFixed(2)}`).join(", ")}; ` +
      "train with --method static --mixture-file FILE",
  );
  return result(JSON.stringify(value, null, 2), value);
}
