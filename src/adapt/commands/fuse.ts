/** `adapt fuse`: snapshots of the adapters of several tasks to one adapter, through a latent space of their weights. */
import { carriedConfig, openAdapters, sharedWhole, warnOfBases } from "../../checkpoint/adapter/together.ts";
import type { AdapterValue } from "../../checkpoint/adapter/value.ts";
import { writeAdapter } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan } from "../../checkpoint/adapter/written.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import type { Batch } from "../../data/batch.ts";
import { type GroupReference, groupsOf, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { liveChoice } from "../../model/adapters/from-file.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { type BatchSource, exampleBatches, tokenBatches } from "../../run/training/batch-source.ts";
import { type HeldOutGroup, readHeldOut } from "../../run/training/held-out.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { AdapterScores, type FusedTask, type FuseJob, Fusion, svdMean } from "../fuse/fuse.ts";
import { weightsOf } from "../fuse/latent-network.ts";
import type { LearnedStep } from "../fuse/learning.ts";
import { countOf, factorsOf, findSnapshots, numbersOf, sharedLayout, type TaskFolder } from "../fuse/snapshots.ts";
import { conditionsOf, taskEmbeddings } from "../fuse/task-embedding.ts";
import { DTYPES, type FUSE } from "../options.ts";
import { bytesOf, checkPlace, oddWhole, valuesOf, writeOptions, written } from "../result.ts";

type FuseContext = Context<typeof FUSE>;

/** Shares of sum 1. Throws UserError for others than one for each task, and for what are no shares. */
function sharesOf(given: readonly number[] | undefined, count: number): number[] {
  const weights = given ?? Array<number>(count).fill(1);
  if (weights.length !== count)
    throw new UserError(
      `--weight has ${weights.length} values for ${count} tasks`,
      "give one for each, in the order of --data, separated by commas",
    );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!weights.every((weight) => weight >= 0) || !(total > 0 && Number.isFinite(total)))
    throw new UserError(`--weight ${weights.join(",")} are no shares`, "none is below 0, and one is above");
  return weights.map((weight) => weight / total);
}

/** Groups of rows by the names of the tasks. Throws UserError where a task has none. */
function heldOutOf({ options }: FuseContext, tasks: readonly GroupReference[]): readonly GroupReference[] {
  if (!options.eval_data) return tasks;
  const given = parseGroups(options.eval_data, options.columns, "--eval-data");
  const stray = given.find(({ name }) => !tasks.some((task) => task.name === name));
  if (stray) throw new UserError(`--eval-data names ${stray.name}, which is no task of --data`, "use its names");
  return tasks.map(({ name }) => {
    const own = given.find((group) => group.name === name);
    if (own) return own;
    throw new UserError(`--eval-data has no rows of ${name}`, `--eval-data ${name}=FILE`);
  });
}

/** Throws UserError for numbers that are no channels, and for too few tasks. */
function check({ options }: FuseContext, tasks: readonly GroupReference[]): void {
  const odd = options.channels.find((channels) => !(Number.isInteger(channels) && channels >= 1));
  if (odd !== undefined || options.channels.length === 0)
    throw new UserError(`--channels ${options.channels.join(",")}: expected whole numbers from 1`, "for example 8,16");
  if (tasks.length < 2)
    throw new UserError(`--data names one task, and there is nothing to fuse it with`, "name two or more");
}

/** Opens the snapshots of all tasks, which go together. */
async function openTasks(context: FuseContext, tasks: readonly GroupReference[]) {
  const { options } = context;
  const folders = findSnapshots(
    options.adapters,
    tasks.map(({ name }) => name),
  );
  const opened: { folder: TaskFolder; adapters: AdapterValue[] }[] = [];
  for (const folder of folders) opened.push({ folder, adapters: await openAdapters(folder.refs, context) });
  const all = opened.flatMap(({ adapters }) => adapters);
  const layout = sharedLayout(all);
  const whole = await sharedWhole(all);
  warnOfBases(all, (text) => context.warn(text));
  return { opened, layout, whole };
}

/** The first rows of every task, in a batch each. */
async function promptsOf(
  { options }: FuseContext,
  groups: readonly GroupReference[],
  described: DescribedModel,
): Promise<Batch[][]> {
  const found: Batch[][] = [];
  for (const group of groups) {
    const { batches } = await readBatches([group], described, options.prompts);
    found.push(batches.slice(0, 1));
  }
  return found;
}

/** Mean losses of a task's rows by the base, its own adapter, what the network makes of it, and what was fused. */
interface Told {
  readonly task: string;
  readonly share: number;
  readonly base: number;
  readonly own: number;
  readonly reconstructed: number;
  readonly svd_mean: number;
  readonly mixed: number;
  readonly fused: number;
}

/** Learns, fuses and scores. */
async function fused(
  { options, progress, signal }: FuseContext,
  fusion: Fusion,
  job: Pick<FuseJob, "model" | "layout" | "tasks" | "shares">,
  held: readonly HeldOutGroup[],
): Promise<{ numbers: Float32Array; told: Told[]; last: LearnedStep | undefined }> {
  const { model, layout, tasks, shares } = job;
  progress.start({ total: options.steps + options.meta_steps, unit: "steps" });
  let last: LearnedStep | undefined;
  await fusion.learn((step) => {
    last = step;
    progress.advance(1);
  });
  progress.done();
  signal.throwIfAborted();
  const scores = new AdapterScores(model, fusion.factors, held);
  const adapters = tasks.map(({ snapshots }) => snapshots.at(-1)!);
  const base = await scores.losses(new Float32Array(countOf(layout)));
  const mean = await scores.losses(svdMean(adapters, layout, shares));
  const own: number[] = [];
  const reconstructed: number[] = [];
  for (const [k, adapter] of adapters.entries()) {
    own.push((await scores.losses(adapter))[k]!);
    reconstructed.push((await scores.losses(await fusion.reconstructed(k)))[k]!);
  }
  const mixed = await scores.losses(await fusion.decoded());
  const numbers = await fusion.decoded(options.fuse_steps);
  const after = await scores.losses(numbers);
  const found = await fusion.mixture.shares();
  await scores.free();
  const told = tasks.map(({ task }, k) => ({
    ...{ task, share: found[k]!, base: base[k]!, own: own[k]!, reconstructed: reconstructed[k]! },
    ...{ svd_mean: mean[k]!, mixed: mixed[k]!, fused: after[k]! },
  }));
  return { numbers, told, last };
}

const COLUMNS = ["share", "base", "own", "reconstructed", "svd_mean", "mixed", "fused"] as const;

const reportOf = (told: readonly Told[]): string =>
  table(
    [
      ["task", "share", "base", "own adapter", "reconstructed", "SVD mean", "mixed", "fused"],
      ...told.map((one) => [one.task, ...COLUMNS.map((name) => one[name].toFixed(name === "share" ? 3 : 4))]),
    ],
    { align: "lrrrrrrr" },
  );

/** Rows of a task in batches without end. */
function sourceOf(
  { options, seed }: FuseContext,
  group: GroupReference,
  { tools, examples }: DescribedModel,
): Promise<BatchSource<Batch>> {
  const order = { batchSize: options.batch_size, seed };
  return tools
    ? tokenBatches([group], tools.encode, order, tools.tokenizer?.pad ?? 0)
    : exampleBatches([group], examples, order);
}

/** Bytes on the GPU and on the host. */
function memoryOf(model: Model, fusion: Fusion, snapshots: number): { readonly memory: number; readonly gpu: number } {
  const held = [...model.parameters.values(), ...model.adapter!.tensors()];
  const { activations, learnt } = fusion.bytes;
  return {
    memory: 8 * snapshots * fusion.network.width,
    gpu: held.reduce((sum, { bytes }) => sum + bytes, activations + learnt),
  };
}

export async function fuse(context: FuseContext): Promise<Outcome> {
  const { args, options, out, seed, version, signal } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name the base alone");
  checkPlace(context);
  const groups = groupsOf(options.data, "--data", options.columns);
  check(context, groups);
  const shares = sharesOf(options.weight, groups.length);
  const held = heldOutOf(context, groups);
  refuseInputs(out, [ref, options.adapters, ...[...groups, ...held].map(({ path }) => path)]);
  const { opened, layout, whole } = await openTasks(context, groups);
  const last = opened.map(({ adapters }) => adapters.at(-1)!);
  const described = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint } = described;
  context.onExit(() => checkpoint.close());
  if (checkpoint.live)
    throw new UserError(`${ref} is a model with an adapter beside it`, "name the base of the adapters alone");

  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const choice = await liveChoice(last[0]!.checkpoint);
  const model = await Model.load(gpu, checkpoint, { adapter: choice, warn: (text) => context.warn(text) });
  const tasks: FusedTask[] = [];
  for (const [k, group] of groups.entries()) {
    const snapshots: Float32Array[] = [];
    for (const adapter of opened[k]!.adapters) snapshots.push(await numbersOf(adapter, layout));
    tasks.push({ task: group.name, snapshots, source: await sourceOf(context, group, described) });
  }
  const evaluated = await readHeldOut(held, described, options.batch_size);
  const embeddings = context.dryRun
    ? groups.map(() => new Float64Array(model.sizes.width))
    : await taskEmbeddings(model, await promptsOf(context, groups, described));
  const conditions = conditionsOf(embeddings);
  const fusion = await Fusion.make({
    ...{ model, layout, tasks, conditions, shares, seed, signal },
    settings: options,
  });

  const modules = layout.map((module) => ({ ...module }));
  const dtype = DTYPES[options.dtype]!;
  const { adapters: folder, ...chosen } = context.chosen as Readonly<Record<string, unknown>>;
  const lineage = lineageOf(
    { script: "adapt fuse", version, options: chosen, seed },
    [{ checkpoint, role: "model" }],
    (text) => context.warn(text),
    [{ ref: String(folder), role: "adapters" }],
  );
  const carried = carriedConfig(
    last,
    layout.map(({ module }) => module),
  );
  const plan = adapterPlan({ modules, dtype, whole, ...carried }, lineage);
  const count = opened.reduce((sum, { adapters }) => sum + adapters.length, 0);
  const figures = {
    ...{ tasks: groups.length, adapters: count, modules: layout.length, numbers: countOf(layout) },
    network: weightsOf(fusion.network.sizes),
  };
  const memory = memoryOf(model, fusion, count);
  if (context.dryRun) {
    if (options.json) context.json({ ...figures, bytes: bytesOf(plan.tensors), ...memory });
    else
      context.print(
        `${count} adapters of ${groups.length} tasks, ${figures.numbers} numbers each: ${humanBytes(bytesOf(plan.tensors))} to ${out === "-" ? "stdout" : out}; a network of ${figures.network} weights, ${humanBytes(memory.memory)} of host memory and ${humanBytes(memory.gpu)} on the GPU`,
      );
    return {};
  }
  const { numbers, told, last: step } = await fused(context, fusion, { model, layout, tasks, shares }, evaluated);
  fusion.free();
  model.free();
  const factors = factorsOf(numbers, layout);
  const bytes = await writeAdapter(out, plan, {
    ...{ modules, whole, dtype, options: writeOptions(context), odd: oddWhole(context) },
    factors: async ({ module, scale }) => {
      const { a, b } = factors.get(module)!;
      return { a, b: b.map((value) => scale * value) };
    },
  });
  if (!options.json) context.print(reportOf(told));
  context.json({ out, ...figures, ...memory, ...step, losses: told, bytes, values: valuesOf(plan.tensors) });
  return written(out, bytes);
}
