/** `merge --tune-data`: coefficients of the last recipe's method, learnt before the merge writes the result. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { flagOf, type Options } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import { isEmbedding, layerOf } from "../../model/names.ts";
import type { MergeMethod } from "../contract.ts";
import type { JobSettings } from "../job/task.ts";
import type { MergePlan, PlanOptions } from "../plan/merge-plan.ts";
import type { OpenModels } from "../plan/open-models.ts";
import { planRecipe } from "../plan/plan-recipe.ts";
import { TUNING } from "../tuning/options.ts";
import type { TuneRun } from "../tuning/subject.ts";
import { type CoefficientTable, encodeTable, TABLE_FILE } from "../tuning/table.ts";
import { plannedTuning, tunePlan } from "../tuning/tune-plan.ts";
import type { Context } from "./given-recipes.ts";

const listOf = (context: Context, name: string): readonly string[] => (context.options[name] as string[]) ?? [];

const defaultOf = (name: string): unknown => (TUNING as Options)[name]?.default;

/** Options of learning that were given, and are not as they are by themselves. */
const givenOptions = ({ options }: Context): string[] =>
  Object.keys(TUNING).filter((name) => options[name] !== undefined && options[name] !== defaultOf(name));

/** Whether this run learns: the method can, and must or is asked to. */
export function learns(context: Context, method: MergeMethod): boolean {
  if (!method.tune || context.options.search !== undefined) return false;
  const asked = context.options.coefficients !== undefined || listOf(context, "tune_data").length > 0;
  return method.tune.required || asked;
}

/**
 * Throws UserError for options of learning where no recipe's method learns, or that contradict each other. `methods`
 * are those of all recipes of the run.
 */
export function checkLearning(context: Context, methods: readonly MergeMethod[]): void {
  const given = givenOptions(context);
  if (!methods.some((method) => learns(context, method))) {
    const [first] = given;
    if (first === undefined) return;
    const could = methods.find(({ tune }) => tune);
    throw new UserError(
      `${flagOf(first)} is for methods that learn coefficients, and ${(could ?? methods.at(-1)!).name} ${could ? "has no data" : "learns none"}`,
      could ? "give --tune-data NAME=FILE" : "for example --method adamerging; or leave it out",
    );
  }
  const other = given.find((name) => name.startsWith("tune_") && name !== "tune_own");
  if (context.options.coefficients !== undefined && other !== undefined)
    throw new UserError(`--coefficients takes the place of learning, and ${flagOf(other)} is for that`, "give one");
  if (context.options.shard !== undefined && context.options.coefficients === undefined)
    throw new UserError(
      "--shard with coefficients that are learnt: each process would learn its own",
      `merge once without --shard, then give its ${TABLE_FILE} with --coefficients`,
    );
}

/** Throws UserError for options of learning beside a search, which finds parameters by itself. */
export function refuseBesideSearch(context: Context): void {
  const [first] = givenOptions(context);
  if (first === undefined) return;
  throw new UserError(`--search and ${flagOf(first)} both find parameters`, "give one of them");
}

/** Tells tensors that are each model's own. */
export type OwnTensors = (name: string) => boolean;

/** Plans a recipe as `planRecipe` does, with tensors that are each model's own where its method learns. */
export async function planLearner(context: Context, recipe: Recipe, models: OpenModels, options: PlanOptions) {
  const own = await ownTensors(context, recipe, await loadMethod("merge", recipe.method, "merge_method"), models);
  return { ...(await planRecipe(recipe, models, { ...options, ...(own && { own }) })), own };
}

/**
 * Tensors that are each model's own: those that `--tune-own` names; without it those outside of blocks, vocabularies
 * apart, that differ in shape between models or that the base lacks. Undefined when there are none.
 */
async function ownTensors(
  context: Context,
  recipe: Recipe,
  method: MergeMethod,
  models: OpenModels,
): Promise<OwnTensors | undefined> {
  if (!learns(context, method)) return undefined;
  await models.open(recipe);
  const globs = listOf(context, "tune_own").map((pattern) => new Bun.Glob(pattern));
  const shapes = new Map<string, Set<string>>();
  for (const { tensors } of models.opened)
    for (const { name, shape } of tensors.values()) shapes.set(name, (shapes.get(name) ?? new Set()).add(shape.join()));
  const own = new Set(
    [...shapes]
      .filter(([name, found]) =>
        globs.length > 0
          ? globs.some((glob) => glob.match(name))
          : found.size > 1 && layerOf(name) === undefined && !isEmbedding(name),
      )
      .map(([name]) => name),
  );
  if (globs.length > 0 && own.size === 0)
    throw new UserError(`--tune-own ${listOf(context, "tune_own").join(", ")} names no tensor`, "check its spelling");
  return own.size === 0 ? undefined : (name) => own.has(name);
}

interface Learning {
  readonly plan: MergePlan;
  readonly method: MergeMethod;
  readonly settings: JobSettings;
  readonly own: OwnTensors | undefined;
  /** Where the result goes. */
  readonly target: string;
}

const runOf = (context: Context, learning: Learning, openGpu: () => Promise<Gpu>): TuneRun => ({
  ...learning,
  openGpu,
  tune: {
    data: listOf(context, "tune_data"),
    columns: context.options.tune_columns as string | undefined,
    steps: context.options.tune_steps as number | undefined,
    rate: context.options.tune_rate as number | undefined,
    batch: context.options.tune_batch as number,
    length: context.options.tune_length as number | undefined,
    temperature: context.options.tune_temperature as number | undefined,
    weights: context.options.tune_weights as "equal" | "pareto",
    guide: context.options.tune_guide as string | undefined,
    offload: context.options.tune_offload === true,
    table: context.options.coefficients as string | undefined,
  },
  signal: context.signal,
  warn: (text) => context.warn(text),
  done: (step, loss) => context.progress.advance(1, `step ${step}`, `loss ${loss.toPrecision(4)}`),
});

/** The plan with what was learnt, the table of it, and what lineage says; unchanged where nothing is learnt. */
export async function withLearnt(
  context: Context,
  learning: Learning,
  models: OpenModels,
  openGpu: () => Promise<Gpu>,
): Promise<{ plan: MergePlan; table?: CoefficientTable; lineage: Record<string, unknown> }> {
  const { plan, method } = learning;
  if (!learns(context, method)) return { plan, lineage: {} };
  const stream = models.opened.find(isStream);
  if (stream)
    throw new UserError(
      `${stream.ref} comes through a pipe, and learning reads models more than once`,
      "write it to a file first",
    );
  for (const line of (await plan.aligned?.prepare(await openGpu())) ?? []) context.info(line);
  const { aligned: _, ...prepared } = plan;
  const run = runOf(context, { ...learning, plan: prepared }, openGpu);
  await tryTarget(learning.target);
  context.progress.start({ total: run.tune.steps ?? method.tune!.steps, unit: "steps" });
  const { plan: tuned, table } = await tunePlan(run);
  context.progress.done();
  for (const [name, { first, last }] of Object.entries(table.loss ?? {}))
    context.info(`${name}: loss ${first.toPrecision(4)} at the beginning, ${last.toPrecision(4)} at the end`);
  return { plan: tuned, table, lineage: { ...lineageOptions(context), coefficients: table.coefficients } };
}

/** Writes the table beside a result that is a folder or a file; nothing for pipes and uploads, whose lineage has it. */
export async function writeTable(table: CoefficientTable | undefined, target: string): Promise<void> {
  const stat = table && statSync(target, { throwIfNoEntry: false });
  if (!table || !stat) return;
  const file = stat.isDirectory() ? join(target, TABLE_FILE) : target.replace(/(\.[a-z]+)?$/, `-${TABLE_FILE}`);
  if (stat.isDirectory() || stat.isFile()) await Bun.write(file, encodeTable(table));
}

/** Bytes of GPU memory that learning takes; undefined where nothing is learnt. */
export async function learningMemory(context: Context, learning: Learning): Promise<number | undefined> {
  const { data, steps, table } = runOf(context, learning, noGpu).tune;
  const { method } = learning;
  if (!learns(context, method)) return undefined;
  if (table !== undefined || data.length === 0 || steps === 0) {
    // Needs no device; what it refuses, a dry run does too.
    await tunePlan(runOf(context, learning, noGpu));
    return undefined;
  }
  const { openGpu } = await import("../../gpu/gpu.ts");
  return plannedTuning(runOf(context, learning, () => openGpu({ device: context.device, dry: true })));
}

const noGpu = () => Promise.reject(new Error("no device is needed here"));

/** The options that decide what is learnt, as they were given. */
const lineageOptions = ({ options }: Context): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(TUNING).flatMap(([name, spec]) => {
      const value = options[name];
      if (value === undefined || value === defaultOf(name) || name === "coefficients" || "decides" in spec) return [];
      return [[name, value]];
    }),
  );
