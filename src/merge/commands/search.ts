/** `merge --search`: tries merges of a recipe's models in one process, and writes the best. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { parseRecipe } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { parseReference, referenceKey } from "../../checkpoint/reference.ts";
import type { Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import { layerOf } from "../../model/names.ts";
import { needsOf } from "../../run/measuring/metric.ts";
import { prepare } from "../../run/measuring/model-checks.ts";
import { countData, type Reader, readForScoring, type ScoringData } from "../../run/scoring/read-rows.ts";
import type { Searcher } from "../../run/searching/contract.ts";
import { defaults, type Gene } from "../../run/searching/space.ts";
import { once } from "../../text/once.ts";
import { parseSize } from "../../text/size.ts";
import type { MergeMethod } from "../contract.ts";
import type { JobSettings } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import type { OpenModels } from "../plan/open-models.ts";
import { checkStep } from "../post-step.ts";
import { keptBytes, standingCheckpoint } from "../search/live-merge.ts";
import { recipeYaml } from "../search/recipe-document.ts";
import { runSearch } from "../search/run-search.ts";
import { modelKey, type RecipeSpace, recipeSpace } from "../search/search-space.ts";
import { tokenLosses } from "../search/token-losses.ts";
import { LAST, readTrials, type SearchIdentity, type Trial, TrialWriter } from "../search/trial-file.ts";
import { type RunnerSetup, TrialRunner } from "../search/trial-runner.ts";
import { areAdapters } from "./adapters.ts";
import { type Context, textOf } from "./given-recipes.ts";
import { type SearchQuestion, searchQuestion } from "./search-question.ts";
import { checkPlaces, type Found, planText, writeResult } from "./search-results.ts";

/** What the script has for merges of every kind. */
export interface MergeTools {
  readonly models: OpenModels;
  readonly openGpu: () => Promise<Gpu>;
  readonly plan: (recipe: Recipe) => Promise<{ readonly plan: MergePlan; readonly method: MergeMethod }>;
  readonly settings: (recipe: Recipe) => JobSettings;
  /** Writes the checkpoint of a recipe whose YAML is `text`. */
  readonly merge: (context: Context, recipe: Recipe, text: string, target: string) => Promise<{ bytes: number }>;
}

/** Everything that is known before a weight is read. */
interface Prepared extends SearchQuestion {
  readonly space: RecipeSpace;
  readonly recipe: Recipe;
  readonly first: MergePlan;
  readonly reader: Reader;
  readonly data: ScoringData;
  readonly identity: SearchIdentity;
  readonly keep: boolean;
  /** Those that are merged, the base not counted. */
  readonly models: readonly Checkpoint[];
}

/** Runs the search. */
export async function searchMerges(given: Context, tools: MergeTools): Promise<Outcome> {
  const context = { ...given, info: once((text) => given.info(text)) };
  const began = performance.now();
  const question = await searchQuestion(context);
  checkPlaces(context, question);
  const prepared = await prepareSearch(context, question, tools);
  const known = readTrials(prepared.trials, prepared.identity);
  if (context.dryRun) {
    const setup = await setupOf(context, prepared, tools, await openGpu({ device: context.device, dry: true }));
    const { json, text } = await planText(setup, prepared);
    context.print(text);
    context.json(json);
    return {};
  }
  const writer = new TrialWriter(prepared.trials[0], prepared.identity);
  const setup = await setupOf(context, prepared, tools, await tools.openGpu());
  for (const line of (await prepared.first.aligned?.prepare(setup.gpu)) ?? []) context.info(line);
  const tried = await tryAll(context, prepared, { setup, known, writer });
  const found: Found = { ...prepared, ...tried, seconds: (performance.now() - began) / 1000 };
  return writeResult(context, found, tools);
}

/** Opens the models, plans the recipe, reads the rows. */
async function prepareSearch(context: Context, question: SearchQuestion, tools: MergeTools): Promise<Prepared> {
  const { document, method, granularity, smooth, ranges, groups, objectives, options, search, budget, assumed } =
    question;
  const opened = await openedModels(question, tools);
  const layers = layersOf(opened[0]!);
  if (granularity > 0 && layers < 2)
    throw new UserError("the models have no layers to group", "leave out --layer-granularity");
  const keyOf = modelKey(parseReference);
  const space = recipeSpace(ranges, document, method, { granularity, smooth, layers, keyOf, assumed });
  const planAt = async (values: ReturnType<typeof defaults>) => {
    const [recipe] = await parseRecipe(await space.recipe({ values }), "the recipe of the search");
    return { recipe: recipe!, ...(await tools.plan(recipe!)) };
  };
  const { recipe, plan: first } = await planAt(defaults(space.space));
  if (await areAdapters(recipe))
    throw new UserError(
      "a search measures models, and its recipe would make an adapter: all that it merges are adapters",
      "name each with its base: base+adapter",
    );
  if (tools.models.streamed)
    throw new UserError("a search reads its models again, and one of them is a pipe", "save it to a file first");
  for (const end of ["low", "high"] as const) await planAt(space.space.map((gene) => endOf(gene, end)));
  for (const warning of first.warnings) context.warn(warning);
  const [post] = context.picks.post ?? [];
  if (post) checkStep(post, first.tensors, false);
  const metrics = objectives.map(({ metric }) => metric);
  const reader = await prepare(standingCheckpoint(first), metrics, options, context.warn);
  const data = await readForScoring(groups, reader, needsOf(metrics));
  const keep = keptBytes(first) <= parseSize(textOf(context, "keep_models")!, "keep-models");
  const counts = countData(data, groups.length);
  const identity: SearchIdentity = {
    search: search.method.name,
    seed: tools.settings(recipe).seed,
    objectives: objectives.map(({ name }) => name),
    space: space.space,
    settings: {
      recipe: await space.recipe({ values: defaults(space.space) }),
      weights: objectives.map(({ weight }) => weight),
      options: Object.fromEntries(Object.entries(search.values)) as Record<string, Json>,
      data: Object.fromEntries(groups.map(({ name }, i) => [name, [counts[i]!.rows, counts[i]!.counted]])),
      ...(post && { post: { name: post.method.name, ...Object.fromEntries(Object.entries(post.values)) } }),
      ...(search.method.name === "grid" && { budget }),
    },
  };
  const models = document.base_model === undefined ? opened : opened.slice(1);
  return { ...question, space, recipe, first, reader, data, identity, keep, models };
}

const endOf = (gene: Gene, end: "low" | "high") => (gene.kind === "choice" ? gene.default : gene[end]);

/** Opens the models of a recipe whose values are not known yet; the base first, if there is one. */
async function openedModels({ document }: SearchQuestion, { models }: MergeTools): Promise<Checkpoint[]> {
  const { merge_method, base_model, models: listed } = document;
  const bare = await recipeYaml({
    merge_method,
    ...(base_model === undefined ? {} : { base_model }),
    models: listed.map(({ model }) => ({ model })),
  });
  const [recipe] = await parseRecipe(bare, "the recipe of the search");
  const opened = await models.open(recipe!);
  const base = recipe!.base && referenceKey(recipe!.base);
  const keys = recipeReferences(recipe!).map(referenceKey);
  const merged = keys.filter((key) => key !== base).map((key) => opened.get(key)!);
  return base === undefined ? merged : [opened.get(base)!, ...merged];
}

const layersOf = (checkpoint: Checkpoint): number =>
  Math.max(-1, ...[...checkpoint.tensors.keys()].map((name) => layerOf(name)?.index ?? -1)) + 1;

async function setupOf(context: Context, prepared: Prepared, tools: MergeTools, gpu: Gpu): Promise<RunnerSetup> {
  return {
    ...prepared,
    gpu,
    plan: tools.plan,
    settings: tools.settings(prepared.recipe),
    post: context.picks.post?.[0],
    signal: context.signal,
    warn: once((message) => context.warn(message)),
  };
}

interface Work {
  readonly setup: RunnerSetup;
  readonly known: ReadonlyMap<number, Trial>;
  readonly writer: TrialWriter;
}

async function tryAll(
  context: Context,
  prepared: Prepared,
  { setup, known, writer }: Work,
): Promise<Pick<Found, "trials" | "archive">> {
  const { search, budget, objectives, pareto, space, share } = prepared;
  const { gpu } = setup;
  const needs = search.method.needs ?? [];
  const searcher: Searcher = await search.method.make({
    space: space.space,
    budget,
    seed: prepared.identity.seed,
    objectives: pareto ? objectives.map(({ name }) => name) : ["sum"],
    models: space.models,
    values: search.values,
    note: (line) => context.info(line),
    ...(needs.includes("gpu") && { gpu }),
    ...(needs.includes("token-losses") && { tokenLosses: await tokenLosses(setup, prepared.models) }),
  });
  const runner = await TrialRunner.open(setup);
  context.progress.start({ total: budget, unit: "trials" });
  try {
    const trials = await runSearch({
      searcher,
      budget,
      objectives,
      pareto,
      known,
      share,
      signal: context.signal,
      attempt: (point) => runner.attempt(point),
      noted: (notes) => context.log.event("search", notes),
      done: (trial) => {
        writer.add(trial);
        const scores = Object.fromEntries(objectives.map(({ name }, i) => [name, trial.measures[i]!]));
        context.log.event("step", { step: trial.trial === LAST ? budget : trial.trial, ...scores });
        context.progress.advance(1, `trial ${trial.trial}`);
      },
    });
    return { trials, archive: searcher.archive?.() ?? [] };
  } finally {
    context.progress.done();
    searcher.free?.();
    await runner.free();
  }
}
