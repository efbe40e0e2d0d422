/**
 * A merge whose models are all adapters gives an adapter: the method merges their changes over a base of zeros, and the
 * result is cut to a rank. Neither their base nor its weights are needed.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isAdapter } from "../../checkpoint/adapter/adapter.ts";
import {
  carriedConfig,
  openAdapters,
  type SharedModule,
  sharedModules,
  sharedWhole,
  warnOfBases,
} from "../../checkpoint/adapter/together.ts";
import type { AdapterValue } from "../../checkpoint/adapter/value.ts";
import { writeWhole } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan } from "../../checkpoint/adapter/written.ts";
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { openPlain, splitAdapter } from "../../checkpoint/open.ts";
import { type ModelReference, openable, referenceKey } from "../../checkpoint/reference.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { flagOf } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import { humanBytes, humanShare } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { changesOf, deltaName, noChange } from "../adapters/deltas.ts";
import { FactorSink, type MergedModule } from "../adapters/factor-sink.ts";
import { mergeTensors, peakBytes } from "../job/run.ts";
import type { JobSettings } from "../job/task.ts";
import { WRITING } from "../options.ts";
import { Notes } from "../plan/notes.ts";
import { OpenModels } from "../plan/open-models.ts";
import { planRecipe } from "../plan/plan-recipe.ts";
import { printExplanation } from "../reports/print.ts";
import type { Context } from "./given-recipes.ts";
import { learns } from "./learn-coefficients.ts";

/** The name under which the base of zeros goes; no file has it. */
const ZERO = "\0no change";

/** Options that say nothing of an adapter. */
const OF_MODELS = [
  "search",
  "align",
  "files",
  ...["tokenizer_source", "chat_template", "add_tokens", "add_special_tokens", "new_rows", "pad_to_multiple_of"],
  "numeric_tokens",
  "shard",
  "shards",
  "out_shard_size",
  "gguf_type",
  "gguf_imatrix",
  "post",
];

const pathOf = (recipe: Recipe, reference: ModelReference): string =>
  recipe.file === "command line" ? reference.path : openable(reference, existsSync);

/** Whether a reference is an adapter alone. What comes through a pipe is not looked at. */
async function isAlone(ref: string): Promise<boolean> {
  if (ref === "-" || splitAdapter(ref) !== undefined) return false;
  if (existsSync(join(ref, "config.json"))) return false;
  if (existsSync(join(ref, "adapter_config.json"))) return true;
  if (!ref.startsWith("hf:") && !(ref.endsWith(".safetensors") && existsSync(ref))) return false;
  const checkpoint = await openPlain(ref);
  checkpoint.close();
  return isAdapter(checkpoint) && !checkpoint.files.has("config.json");
}

/** Whether all models of a recipe, its base among them, are adapters without a base. */
export async function areAdapters(recipe: Recipe): Promise<boolean> {
  const references = recipeReferences(recipe);
  for (const reference of references)
    if (reference.adapter || !(await isAlone(pathOf(recipe, reference)))) return false;
  return references.length > 0;
}

/** Throws UserError for the rank of an adapter where the result is a model. */
export function refuseAdapterRank({ options }: Context): void {
  if (options.adapter_rank !== undefined)
    throw new UserError(
      "--adapter-rank has no effect: the result is a model",
      "an adapter comes of adapters alone, without a base; adapt extract makes one of a model",
    );
}

interface Given {
  readonly recipe: Recipe;
  readonly settings: JobSettings;
  /** `own`: options of this kind of merge, to be recorded beside the others. */
  lineage(opened: ReadonlyMap<string, Checkpoint>, own: Readonly<Record<string, unknown>>): LineageEntry[];
  openGpu(): Promise<Gpu>;
}

/** Opens the adapters of a recipe, by the key of each. */
async function openAll(context: Context, recipe: Recipe): Promise<Map<string, AdapterValue>> {
  const references = new Map(recipeReferences(recipe).map((reference) => [referenceKey(reference), reference]));
  const paths = [...references.values()].map((reference) => pathOf(recipe, reference));
  const opened = await openAdapters(paths, context);
  return new Map([...references.keys()].map((key, i) => [key, opened[i]!]));
}

/** Plans the merge of the changes. */
async function planChanges(context: Context, recipe: Recipe) {
  const method = await loadMethod("merge", recipe.method, "merge_method");
  const adapters = await openAll(context, recipe);
  const shared = sharedModules([...adapters.values()]);
  const changes = new Map<string, Checkpoint>();
  for (const [i, [key, adapter]] of [...adapters].entries()) changes.set(key, await changesOf(adapter, i, shared));
  const named = new Map<string, Checkpoint>([[ZERO, noChange(shared)]]);
  for (const reference of recipeReferences(recipe)) named.set(reference.path, changes.get(referenceKey(reference))!);
  const based = method.base === "required" && recipe.base === undefined ? { base: { path: ZERO } } : {};
  const models = new OpenModels(named, (text) => context.warn(text));
  const { plan } = await planRecipe({ ...recipe, ...based, outDtype: "F32" }, models, {
    allowDuplicates: context.options.allow_duplicates === true,
    allowMissing: false,
  });
  refuseSlices(recipe, plan.tensors, shared);
  return { method, adapters: [...adapters.values()], shared, changes, plan };
}

/** Throws UserError for options and parts of a recipe that say nothing of an adapter. */
function refuseOfModels({ options }: Context, { file, tokenizer, chatTemplate }: Recipe): void {
  const isSized = options.shard_size !== undefined && options.shard_size !== WRITING.shard_size.default;
  const flag = OF_MODELS.find((name) => options[name] !== undefined) ?? (isSized ? "shard_size" : undefined);
  const key = tokenizer ? "a tokenizer" : chatTemplate ? "chat_template" : undefined;
  const odd = flag === undefined ? key && `${file}: ${key}` : flagOf(flag);
  if (odd !== undefined)
    throw new UserError(
      `${odd} has no effect on adapters, and all models are adapters`,
      "leave it out, or merge models: base+adapter",
    );
}

/** Throws UserError where slices leave out, double or move layers: an adapter names the layers of its base. */
function refuseSlices(
  { file }: Recipe,
  planned: readonly { readonly name: string }[],
  shared: readonly SharedModule[],
): void {
  const names = new Set(planned.map(({ name }) => name));
  if (planned.length === shared.length && shared.every(({ module }) => names.has(deltaName(module)))) return;
  throw new UserError(
    `${file}: the slices are not all layers in their order, and all models are adapters of a whole base`,
    "merge models: base+adapter",
  );
}

/** Merges adapters to one, or says what that would take. */
export async function mergeAdapters(context: Context, given: Given): Promise<Outcome> {
  const { recipe, settings } = given;
  refuseOfModels(context, recipe);
  if (learns(context, await loadMethod("merge", recipe.method, "merge_method")))
    throw new UserError(
      `${recipe.method} learns its coefficients by running the models, and adapters alone are none`,
      "give base+adapter of each, and --base",
    );
  const { method, adapters, shared, changes, plan } = await planChanges(context, recipe);
  for (const warning of plan.warnings) context.warn(warning);
  if (context.options.explain) {
    printExplanation(context, plan);
    return {};
  }
  warnOfBases(adapters, (text) => context.warn(text));
  const whole = await sharedWhole(adapters);
  if (whole.size > 0)
    context.warn(`${whole.size} tensors that an adapter holds whole are carried over without a weight`);
  const ranks = shared.flatMap(({ of }) => of.map(([, { rank }]) => rank));
  const wanted = (context.options.adapter_rank as number | undefined) ?? Math.max(1, ...ranks);
  const modules = shared.map(({ module, of }): MergedModule => {
    const { kind, inputs, into, out } = of[0]![1];
    return { module, kind, inputs, into, out, rank: Math.min(wanted, into, out) };
  });
  const dtype = recipe.outDtype ?? "F32";
  const names = modules.map(({ module }) => module);
  const { adapter_rank } = context.options;
  const own = adapter_rank === undefined ? {} : { adapter_rank };
  const output = adapterPlan({ modules, dtype, whole, ...carriedConfig(adapters, names) }, given.lineage(changes, own));
  const bytes = output.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  if (context.dryRun) {
    const { gpu, host } = peakBytes(plan.tensors, method);
    const memory = host + Math.max(0, ...modules.map(({ into, out }) => 20 * into * out));
    if (context.options.json) context.json({ adapter: true, tensors: output.tensors.length, bytes, memory, gpu });
    else
      context.print(
        `${method.name} of ${adapters.length} adapters gives an adapter: ${modules.length} modules of rank up to ${wanted}, ${humanBytes(bytes)}; about ${humanBytes(memory)} of host memory and ${humanBytes(gpu)} on the GPU`,
      );
    return {};
  }
  context.info(
    adapters.length === 1
      ? "the model is an adapter, and so is the result; base+adapter merges models"
      : `all ${adapters.length} models are adapters, and so is the result; base+adapter merges models`,
  );
  const writer = await createWriter(context.out, output, { hub: { warn: (text) => context.warn(text) } });
  const gpu = await given.openGpu();
  const sink = new FactorSink(modules, writer, dtype, gpu);
  const notes = new Notes();
  const odd = (name: string) => context.warn(`${name} holds NaN or infinity, and is in the adapter as it is`);
  try {
    context.progress.start({ total: plan.tensors.length, unit: "tensors" });
    await mergeTensors({
      ...{ gpu, method, tasks: plan.tensors, elsewhere: [], sink, inOrder: false, signal: context.signal },
      settings: { ...settings, remark: (what, tensor) => notes.add(what, tensor) },
      done: (task) => context.progress.advance(1, task.name),
    });
    const others = output.tensors.slice(2 * modules.length);
    for (const [i, entry] of [...whole.values()].entries()) await writeWhole(writer, others[i]!.name, entry, odd);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    context.progress.done();
  }
  for (const line of notes.lines()) context.warn(line);
  const { error } = sink;
  context.json({
    out: context.out,
    method: method.name,
    adapter: true,
    bytes: writer.bytes,
    tensors: output.tensors.length,
    error,
  });
  return {
    output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(writer.bytes)})`,
    told: `an adapter of rank ${wanted}, ${humanShare(error)} of the merged change lost to the rank`,
    ...(context.out === "-" ? {} : { next: `bun run inspect ${quote(context.out)}` }),
  };
}
