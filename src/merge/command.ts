/** What the `merge` script does: from its command line or a recipe to a plan, and from the plan to a checkpoint. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { type Recipe, recipeReferences } from "../checkpoint/lineage/recipe/recipe.ts";
import { createWriter, writtenBytes } from "../checkpoint/write/write.ts";
import type { Outcome, PlainContext } from "../cli/context.ts";
import { refuseInputs } from "../cli/target.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { loadMethod } from "../method/registry.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";
import { quote } from "../text/quote.ts";
import { areAdapters, mergeAdapters, refuseAdapterRank } from "./commands/adapters.ts";
import { type Context, type GivenRecipes, readRecipes, textOf } from "./commands/given-recipes.ts";
import { mergeGroups } from "./commands/groups.ts";
import {
  checkLearning,
  learningMemory,
  type OwnTensors,
  planLearner,
  refuseBesideSearch,
  withLearnt,
  writeTable,
} from "./commands/learn-coefficients.ts";
import { namedResults, type Wanted } from "./commands/named-results.ts";
import type { MergeMethod } from "./contract.ts";
import { historyOf, seedOf } from "./history.ts";
import { changeNorms } from "./job/change-norms.ts";
import { precheck } from "./job/run.ts";
import { mergekitNotice } from "./mergekit-options.ts";
import type { MergePlan } from "./plan/merge-plan.ts";
import { checkCheckpoints } from "./plan/named-things.ts";
import { OpenModels } from "./plan/open-models.ts";
import { outputsOf } from "./plan/plan-bytes.ts";
import { plannedCheckpoint } from "./plan/planned-checkpoint.ts";
import { originsOf, retainStreams } from "./plan/read-again.ts";
import { checkTwins } from "./plan/twins.ts";
import { checkStep, scalesAfter } from "./post-step.ts";
import { printCheck, printCosts, printExplanation } from "./reports/print.ts";
import type { Alignment } from "./structure/aligned-models.ts";
import { mergeWatched } from "./watched.ts";
import { writeOptions } from "./write-options.ts";

const planOptions = (context: Context) => {
  const files = textOf(context, "files");
  const align = textOf(context, "align") as Alignment | undefined;
  return {
    ...(align && { align }),
    allowDuplicates: context.options.allow_duplicates === true,
    allowMissing: context.options.allow_missing === true,
    ...(files && { files }),
  };
};

const settingsOf = (context: Context, recipe: Recipe) => ({
  seed: seedOf(context),
  compatRounding: context.options.compat_rounding === true,
  compatBugs: (context.options.compat_bugs as boolean | undefined) ?? recipe.file !== "command line",
});

/** A recipe before it is run. */
interface Planned extends Wanted {
  readonly plan: MergePlan;
  readonly method: MergeMethod;
  readonly own: OwnTensors | undefined;
  readonly recipe: Recipe;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What was written. */
interface Written {
  readonly bytes: number;
  readonly tensors: number;
  readonly values: number;
}

/** Runs one recipe into `target`. */
async function mergeOne(
  context: Context,
  { recipe, text, target }: { recipe: Recipe; text: string | undefined; target: string },
  models: OpenModels,
  openGpu: () => Promise<Gpu>,
): Promise<Written> {
  const { opened, ...begun } = await planLearner(context, recipe, models, planOptions(context));
  const { method } = begun;
  const origins = originsOf(models);
  const unread = await checkTwins(begun.plan.tensors, origins.readAgain);
  for (const warning of [...begun.plan.warnings, ...unread]) context.warn(warning);
  const [postStep] = context.picks.post ?? [];
  if (postStep) checkStep(postStep, begun.plan.tensors, models.streamed);
  const learning = { ...begun, settings: settingsOf(context, recipe), target };
  const { plan, table, lineage: learnt } = await withLearnt(context, learning, models, openGpu);

  const outputs = outputsOf(plan);
  const isLast = target === context.out;
  const lineage = historyOf(context, recipe, text, opened, isLast, learnt);
  const hub = { warn: (text: string) => context.warn(text), progress: context.progress };
  const options = isLast ? { ...writeOptions(context), hub } : {};
  // Header before work: the next command in a pipe can refuse a bad match within the first second.
  const writer = await createWriter(target, { tensors: outputs, files: plan.files, lineage }, options);
  const keep = context.onExit((ok) => (ok ? undefined : writer.abort()));
  const gpu = await openGpu();
  try {
    const own = new Set(writer.tensors.map((tensor) => tensor.name));
    const tasks = plan.tensors.filter((tensor) => own.has(tensor.name));
    retainStreams(models, tasks, method, gpu.adapter);
    for (const line of (await plan.aligned?.prepare(gpu)) ?? []) context.info(line);
    const { settings } = learning;
    const measured = { gpu, method, settings, tasks: plan.tensors, signal: context.signal };
    const post = postStep && (await scalesAfter(postStep, plan.tensors, () => changeNorms(measured)));
    const sizes = new Map(writer.tensors.map(({ name, bytes }) => [name, bytes]));
    context.progress.start({ total: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0), unit: "bytes" });
    const remarks = await mergeWatched({
      gpu,
      method,
      tasks,
      elsewhere: plan.tensors.filter((tensor) => !own.has(tensor.name)),
      sink: writer,
      settings: { ...settings, ...(post && { post }) },
      inOrder: models.streamed,
      signal: context.signal,
      done: (task) => context.progress.advance(sizes.get(task.name), task.name),
    });
    await models.finish();
    await writer.finish();
    keep();
    await writeTable(table, target);
    for (const line of await remarks(origins)) context.warn(line);
    if (gpu.timer) {
      for (const { kernel, runs, seconds } of await gpu.timer.times()) {
        context.info(`  ${kernel}: ${runs} runs, ${(1000 * seconds).toFixed(1)} ms`);
      }
    }
  } catch (error) {
    // Whatever was half-written goes at once; cleaning up again at the end of the script does nothing.
    await writer.abort();
    throw error;
  } finally {
    // The device is left to the end of the process, which frees it at once; closing it by hand takes 0.1 to 0.5 s.
    context.progress.done();
  }
  const values = writer.tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return { bytes: writer.bytes, tensors: writer.tensors.length, values };
}

/** What `--explain` or `--dry-run` say of a recipe. */
async function reportOf(context: Context, planned: Planned, target: string): Promise<void> {
  const { plan, method, own, recipe, ...output } = planned;
  if (context.options.explain) {
    printExplanation(context, plan);
    return;
  }
  await checkCheckpoints(plan, method);
  const settings = settingsOf(context, recipe);
  if (method.precheck) {
    const { openGpu } = await import("../gpu/gpu.ts");
    const gpu = await openGpu({ device: context.device, dry: true });
    await precheck({ gpu, method, tasks: plan.tensors, settings });
  }
  const written = writtenBytes(target, output, target === context.out ? writeOptions(context) : {});
  const learning = await learningMemory(context, { plan, method, own, settings, target });
  printCosts(context, plan, method, { to: target, ...(written !== undefined && { written }), learning });
}

/** Opens the device at the first call. */
function deviceOf(context: Context): () => Promise<Gpu> {
  let gpu: Promise<Gpu> | undefined;
  return () => {
    gpu ??= import("../gpu/gpu.ts").then((module) =>
      module.openGpu({ device: context.device, profile: context.verbose }),
    );
    return gpu;
  };
}

/** Runs a search over merges. */
async function searched(context: Context): Promise<Outcome> {
  const { searchMerges } = await import("./commands/search.ts");
  const models = new OpenModels(new Map(), (warning) => context.warn(warning));
  context.onExit(() => models.close());
  const openGpu = deviceOf(context);
  return searchMerges(context, {
    models,
    openGpu,
    plan: (recipe) => planLearner(context, recipe, models, planOptions(context)),
    settings: (recipe) => settingsOf(context, recipe),
    merge: (own, recipe, text, target) => mergeOne(own, { recipe, text, target }, models, openGpu),
  });
}

/** Runs the script, or recipes that a sub-command reads or makes. */
export async function runMerge(
  given: PlainContext & { readonly options: object },
  read: (context: Context) => Promise<GivenRecipes> = readRecipes,
): Promise<Outcome> {
  const began = performance.now();
  const remarks: string[] = [];
  const warn = (text: string) => {
    remarks.push(text);
    given.warn(text);
  };
  const context = { ...given, warn } as Context;
  const makes = !context.dryRun && !context.options.check && !context.options.explain;
  if (context.options.json && makes && context.out === "-" && context.options.search === undefined)
    throw new UserError("--json and the merged checkpoint both want stdout", "give -o DIR, or leave out --json");
  const notice = mergekitNotice(context.options);
  if (notice) context.info(notice);
  if (context.options.groups !== undefined) return mergeGroups(context, runMerge);
  if (context.options.search !== undefined) {
    refuseBesideSearch(context);
    return searched(context);
  }
  const { recipes, text } = await read(context);
  // What a recipe names the frame does not know; other shards read it while this one is written.
  if (context.options.shard !== undefined)
    refuseInputs(
      context.out,
      recipes.flatMap(recipeReferences).flatMap(({ path, adapter }) => [path, ...(adapter ? [adapter.path] : [])]),
    );
  checkLearning(context, await Promise.all(recipes.map(({ method }) => loadMethod("merge", method, "merge_method"))));
  const named = new Map<string, string | Checkpoint>();
  const models = new OpenModels(named, (warning) => context.warn(warning));
  context.onExit(() => models.close());
  const openGpu = deviceOf(context);
  const last = recipes.at(-1)!;
  if (recipes.length === 1 && !context.options.check && (await areAdapters(last)))
    return mergeAdapters(context, {
      ...{ recipe: last, settings: settingsOf(context, last), openGpu },
      lineage: (opened, own) => historyOf(context, last, text, opened, true, own),
    });
  refuseAdapterRank(context);
  const results = namedResults(context, recipes);
  const planned = async (recipe: Recipe) => {
    const { plan, method, opened, own } = await planLearner(context, recipe, models, planOptions(context));
    const quiet = { ...context, warn: () => {} }; // what is made says it
    const lineage = historyOf(quiet, recipe, text, opened, recipe === last);
    return { recipe, plan, method, own, files: plan.files, tensors: outputsOf(plan), lineage };
  };
  for (const recipe of recipes.slice(0, -1)) {
    const [name, target, wanted] = [recipe.name!, results.pathOf(recipe), await planned(recipe)];
    const finished = await results.isFinished(target, wanted);
    if (finished) context.info(`${name} is finished: ${target}`);
    else if (context.options.explain || context.dryRun) {
      await reportOf(
        { ...context, print: (text) => context.print(`${name}:\n${text}\n`), json: () => {} },
        wanted,
        target,
      );
      named.set(name, plannedCheckpoint(name, wanted));
      continue;
    } else await mergeOne(context, { recipe, text, target }, models, openGpu);
    named.set(name, target);
  }
  if (context.options.check) {
    return { exitCode: (await printCheck(context, last, models, planOptions(context))) ? 0 : 1 };
  }
  if (context.options.explain || context.dryRun) {
    const wanted = await planned(last);
    for (const warning of wanted.plan.warnings) context.warn(warning);
    await reportOf(context, wanted, context.out);
    return {};
  }
  if (
    results.keeps &&
    context.options.shard === undefined &&
    (await results.isFinished(context.out, await planned(last)))
  ) {
    context.json({ out: context.out, method: last.method, finished: true, remarks });
    return { output: `${context.out} was finished already` };
  }
  const written = await mergeOne(context, { recipe: last, text, target: context.out }, models, openGpu);
  const where = context.out === "-" ? "stdout" : context.out;
  const seconds = (performance.now() - began) / 1000;
  context.json({ out: context.out, method: last.method, ...written, seconds, remarks });
  return {
    output: `${where} (${humanBytes(written.bytes)})`,
    ...(context.out === "-" ? {} : { next: `bun run inspect ${quote(context.out)}` }),
  };
}
