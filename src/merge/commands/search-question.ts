/** What `merge --search` is asked: the recipe, what of it varies, what is made better, and on what. */
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { BoundMetric } from "../../run/measuring/metric.ts";
import { checkMetrics } from "../../run/measuring/metric-checks.ts";
import type { SearchMethod } from "../../run/searching/contract.ts";
import { type Share, shareOf } from "../../run/searching/share.ts";
import type { MergeMethod } from "../contract.ts";
import { isGenome, readGenome } from "../search/genome.ts";
import { checkObjectives, type Objective, parseObjectives } from "../search/objective.ts";
import { parseRanges, type SearchRange, usualRanges } from "../search/ranges.ts";
import { documentOf, type RecipeDocument, readDocument } from "../search/recipe-document.ts";
import type { RunnerOptions } from "../search/trial-runner.ts";
import { type Context, readRecipes, recipeArgument, recipeText, textOf } from "./given-recipes.ts";

/** What the command line says of a search. */
export interface SearchQuestion {
  readonly search: Bound<SearchMethod>;
  readonly budget: number;
  readonly document: RecipeDocument;
  readonly method: MergeMethod;
  readonly ranges: readonly SearchRange[];
  /** Parameters that the command line filled in. */
  readonly assumed: readonly string[];
  readonly granularity: number;
  readonly smooth: boolean;
  readonly objectives: readonly Objective[];
  /** Every objective by itself. */
  readonly pareto: boolean;
  readonly groups: readonly GroupReference[];
  readonly options: RunnerOptions;
  readonly trials: readonly string[];
  readonly share: Share | undefined;
}

const listOf = (context: Context, name: string): string[] => (context.options[name] as string[] | undefined) ?? [];

/** Values of options that several texts, or commas, separate. */
const partsOf = (context: Context, name: string): string[] =>
  listOf(context, name)
    .flatMap((text) => text.split(","))
    .filter((part) => part.trim() !== "");

/** What is searched over, before what the command line says of ranges. */
async function recipeOf(context: Context, groups: readonly string[]) {
  const file = recipeArgument(context);
  const text = file === undefined ? undefined : recipeText(file);
  if (file !== undefined && isGenome(text!)) {
    const genome = await readGenome(text!, file, groups);
    if (genome.ignored.length > 0) context.warn(`${file}: without effect here: ${genome.ignored.join(", ")}`);
    return { ...genome, assumed: [] };
  }
  const { recipes } = await readRecipes(context);
  const [recipe, ...more] = recipes;
  if (more.length > 0)
    throw new UserError(`${file} holds ${recipes.length} recipes`, "a search varies one; write it to its own file");
  const method = await loadMethod("merge", recipe!.method, "merge_method");
  const document = text === undefined ? documentOf(recipe!) : await readDocument(text, recipe!);
  const isTyped = context.raw.has("weight") || context.set.some(({ key }) => key === "weight");
  const assumed = text === undefined && !isTyped ? ["weight"] : [];
  return { document, method, ranges: undefined, granularity: 0, smooth: false, objectives: undefined, assumed };
}

/** The share of an array job. Throws UserError where its trials cannot be made apart or would be lost. */
function ownShare(context: Context, search: SearchMethod, trials: readonly string[]): Share | undefined {
  const text = textOf(context, "trial");
  if (text === undefined) return undefined;
  const share = shareOf(text, search);
  if (trials.length !== 1)
    throw new UserError(
      "--trial leaves its trials in a file",
      `give each worker its own: --trials trials-${share.worker + 1}.jsonl`,
    );
  return share;
}

/** Throws UserError where the objectives are too few or too many for the search. */
function paretoOf(
  context: Context,
  { name, objectives: kind }: SearchMethod,
  objectives: readonly Objective[],
): boolean {
  const asked = context.options.pareto === true;
  if (kind === "one" && asked)
    throw new UserError(
      `--search ${name} has one objective, the weighted sum`,
      "leave out --pareto, or use --search nsga",
    );
  const pareto = asked || kind === "many";
  if (pareto && objectives.length < 2)
    throw new UserError(
      `${asked ? "--pareto" : `--search ${name}`} weighs several objectives, found ${objectives.length}`,
      "name them: --objective loss@a,loss@b",
    );
  return pareto;
}

/** Reads and checks what can be known before a model is opened. Throws UserError. */
export async function searchQuestion(context: Context): Promise<SearchQuestion> {
  const { options } = context;
  const measuring = options as typeof options & RunnerOptions;
  const [search] = context.picks.search ?? [];
  const budget = options.budget as number | undefined;
  if (budget === undefined)
    throw new UserError("--search needs --budget, the merges that are tried", "for example --budget 100");
  refuseOthers(context);
  const groups = groupsOf(options.data as string[] | undefined, "--data", textOf(context, "columns"));
  if (groups.some((group) => group.path === "-"))
    throw new UserError(
      "a search that goes on reads its rows again, and stdin cannot be",
      "write them to a file first",
    );
  const names = groups.map(({ name }) => name);
  const recipe = await recipeOf(context, names);
  const { method } = recipe;
  const wanted = search!.method.merge;
  if (wanted !== undefined && wanted !== method.name)
    throw new UserError(`--search ${search!.method.name} makes recipes of ${wanted}`, `give --method ${wanted}`);
  const space = partsOf(context, "search_space");
  const ranges = space.length > 0 ? parseRanges(space, method) : (recipe.ranges ?? usualRanges(method));
  const objectives = await objectivesOf(context, recipe.objectives, names);
  checkMetrics([...new Set(objectives.map(({ metric }) => metric))], groups, measuring);
  const trials = listOf(context, "trials");
  return {
    search: search!,
    budget,
    document: recipe.document,
    method,
    ranges,
    assumed: recipe.assumed,
    granularity: (options.layer_granularity as number) || recipe.granularity,
    smooth: options.smooth === true || recipe.smooth,
    objectives,
    pareto: paretoOf(context, search!.method, objectives),
    groups,
    options: measuring,
    trials,
    share: ownShare(context, search!.method, trials),
  };
}

async function objectivesOf(context: Context, given: readonly Objective[] | undefined, groups: readonly string[]) {
  const texts = partsOf(context, "objective");
  const metrics = (context.picks.metric ?? []) as readonly BoundMetric[];
  if (given !== undefined && texts.length === 0 && metrics.length === 0) {
    checkObjectives(given, groups);
    return given;
  }
  return parseObjectives(texts.length > 0 || metrics.length > 0 ? texts : ["loss"], metrics, groups);
}

/** Throws UserError for options of a merge that a search cannot follow. */
function refuseOthers({ options }: Context): void {
  const odd = ["check", "explain", "shard", "multi", "intermediate_dir"].find((name) => Boolean(options[name]));
  if (odd !== undefined)
    throw new UserError(
      `--${odd.replaceAll("_", "-")} is for one merge, not a search`,
      "use it with the recipe that is found",
    );
}
