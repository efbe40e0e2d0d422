/** `adapt extract`: an adapter from a fine-tune and its base. */

import { nameInBase } from "../../checkpoint/adapter/changes.ts";
import { writeAdapter } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan, bytesPerRank, type WrittenAdapter } from "../../checkpoint/adapter/written.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { layoutFolder, type OutputPlan } from "../../checkpoint/write/shards.ts";
import type { Context as ContextOf, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { isRandomised } from "../../tensor/linear-algebra/truncated-svd.ts";
import { humanBytes, humanShare } from "../../text/format.ts";
import { compilePattern } from "../../text/pattern/pattern.ts";
import { parseSize } from "../../text/size.ts";
import { type Changes, sortChanges, type Weight } from "../extract/changes.ts";
import {
  type Change,
  chooseRanks,
  type ExtractedModule,
  type ExtractOptions,
  extractChange,
  roundingOf,
  type Told,
  toldOf,
  totalError,
} from "../extract/extraction.ts";
import { type Known, knownSpecs, modulesOf, shortNames } from "../extract/names.ts";
import { reportOf } from "../extract/report.ts";
import { Spool } from "../extract/spool.ts";
import { changedUnfit, type HeldWhole, heldWhole, isTiedCopy } from "../extract/whole.ts";
import type { EXTRACT } from "../options.ts";
import { DTYPES } from "../options.ts";
import { bytesOf, checkPlace, gpuOnDemand, oddWhole, valuesOf, writeOptions, written } from "../result.ts";

type Context = ContextOf<typeof EXTRACT>;

/** A test of names: whether a regular expression of Python's syntax is found in them. */
function finder(patterns: readonly string[]): (name: string) => boolean {
  const compiled = patterns.map((text) => compilePattern(`.*(?:${text}).*`));
  return (name) => compiled.some((pattern) => pattern.matches(name));
}

/** The fine-tune's and the base's references. Throws UserError where one is missing. */
function references({ args, options }: Context): { tuned: string; base: string } {
  const named = options.model === undefined ? args : [options.model, ...args];
  const [tuned, ...more] = named;
  if (tuned === undefined || more.length > 0)
    throw new UserError(
      named.length === 0 ? "no fine-tune" : `one fine-tune at a time, found ${named.join(" ")}`,
      "for example adapt extract tuned/ --base base/ -o adapter/",
    );
  if (options.base === undefined) throw new UserError("no --base", "name the checkpoint that the model was tuned from");
  return { tuned, base: options.base };
}

interface Job {
  readonly tuned: Checkpoint;
  readonly base: Checkpoint;
  readonly known: Known;
  readonly changes: Changes;
  readonly options: ExtractOptions;
  /** Bytes of the file of weights. */
  readonly budget: number | undefined;
}

/** Opens both models and sorts their tensors. */
async function prepare(context: Context): Promise<Job> {
  const { options } = context;
  const refs = references(context);
  if (options.energy !== undefined && options.budget !== undefined)
    throw new UserError("--energy and --budget both choose ranks", "give one of them; --rank bounds either");
  const budget = options.budget === undefined ? undefined : parseSize(options.budget, "budget");
  const included = options.include_regex === undefined ? () => true : finder(options.include_regex);
  const excluded = finder(options.exclude_regex ?? []);
  const warn = (text: string) => context.warn(text);
  const base = await open(refs.base, { warn });
  context.onExit(() => base.close());
  const tuned = await open(refs.tuned, { warn });
  context.onExit(() => tuned.close());
  for (const { kind, ref } of [base, tuned])
    if (kind === "stream")
      throw new UserError(`${ref} comes through a pipe, which is read once and in order`, "write it to a folder first");
  const known = await knownSpecs(tuned);
  const changes = sortChanges(tuned, base, {
    ...known,
    embedLora: options.embed_lora ?? false,
    saved: options.save_module ?? [],
    takes: (module) => included(module) && !excluded(module),
  });
  const own = {
    ...{ most: options.rank, energy: options.energy, epsilon: options.sv_epsilon },
    ...{ split: options.distribute_scale, dtype: DTYPES[options.dtype]! },
  };
  return { tuned, base, known, changes, options: own, budget };
}

/** What the result's config says of the model. */
function taskOf({ files }: Checkpoint): string | null {
  const text = new TextDecoder().decode(files.get("config.json"));
  if (/For\w*Classification"/.test(text)) return "SEQ_CLS";
  return /(ForCausalLM|LMHeadModel)"/.test(text) ? "CAUSAL_LM" : null;
}

/** Whether a tied table changes, and its head with it. */
const tieChanges = (modules: readonly ExtractedModule[], { tied, tensors }: HeldWhole): boolean =>
  tied !== undefined &&
  (nameInBase(tensors, tied) !== undefined || modules.some(({ module }) => `${module}.weight` === tied));

/** The plan of the result. Throws UserError where layers are stored both ways round. */
function planOf(
  context: Context,
  { tuned, base, options }: Job,
  modules: readonly ExtractedModule[],
  whole: HeldWhole,
): OutputPlan {
  const linear = modules.filter(({ kind }) => kind === "linear").map(({ change }) => change.weight);
  const turned = new Set(linear.map((weight) => weight.turned));
  if (turned.size > 1)
    throw new UserError(
      `${linear.find((weight) => weight.turned)!.module} is stored (in, out) and ${linear.find((weight) => !weight.turned)!.module} (out, in): one adapter holds one kind`,
      "leave out one kind with --exclude-regex, or save its modules whole with --save-module",
    );
  const all = modulesOf(tuned);
  const adapter: WrittenAdapter = {
    ...{ modules, dtype: options.dtype, whole: whole.tensors, files: whole.files },
    base: context.options.base!.replace(/^hf:/, "").replace(/@[^/@]*$/, ""),
    targets: shortNames(
      modules.map(({ module }) => module),
      all,
    ),
    modulesToSave: shortNames(whole.modules, all, true),
    bias: whole.biases ? "all" : "none",
    fanInFanOut: turned.has(true),
    taskType: taskOf(tuned),
    ensureWeightTying: tieChanges(modules, whole),
  };
  const { chosen, version, seed } = context;
  const { base: _, model: __, ...recorded } = chosen;
  const lineage = lineageOf(
    { script: "adapt extract", version, options: recorded, seed },
    [
      { checkpoint: tuned, role: "model" },
      { checkpoint: base, role: "base" },
    ],
    (text) => context.warn(text),
  );
  return adapterPlan(adapter, lineage);
}

/** Bytes of the file of weights. */
const fileBytes = (plan: OutputPlan): number =>
  layoutFolder(plan, { shardBytes: Number.MAX_SAFE_INTEGER }).weights[0]!.bytes;

/** Ranks and the plan that fits the budget. Throws UserError where what is held whole alone does not. */
function fit(context: Context, job: Job, changes: readonly Change[], whole: HeldWhole) {
  const { options, budget } = job;
  const bare = planOf(context, job, [], whole);
  if (budget === undefined) {
    const modules = chooseRanks(changes, options.dtype, undefined);
    return { modules, plan: planOf(context, job, modules, whole) };
  }
  if (fileBytes(bare) > budget)
    throw new UserError(
      `what the adapter holds whole takes ${humanBytes(fileBytes(bare))} of a budget of ${humanBytes(budget)}`,
      "leave it out with --exclude-regex, or allow more",
    );
  // Names and shapes of tensors take bytes of the header, too.
  for (let factors = budget - fileBytes(bare); ; ) {
    const modules = chooseRanks(changes, options.dtype, Math.max(0, factors));
    const plan = planOf(context, job, modules, whole);
    const over = fileBytes(plan) - budget;
    if (over <= 0 || modules.length === 0) return { modules, plan };
    factors -= over;
  }
}

/** What a dry run can say from shapes alone: all at most. */
function tellPlan(context: Context, { tuned, changes, options, budget }: Job): Outcome {
  const { weights, whole } = changes;
  const rankOf = (weight: Weight) => Math.min(options.most, weight.into, weight.out);
  const factors = weights.reduce((sum, weight) => sum + rankOf(weight) * bytesPerRank(weight, options.dtype), 0);
  const held = whole.reduce((sum, { tuned: { bytes } }) => sum + bytes, 0);
  const large = weights.filter((weight) => isRandomised(weight.out, weight.into, rankOf(weight)));
  const values = ({ into, out }: Weight) => into * out;
  const memory = Math.max(
    0,
    ...weights.map(
      (weight) => (large.includes(weight) ? 8 : 16) * values(weight) + 16 * rankOf(weight) * (weight.into + weight.out),
    ),
  );
  const gpu = Math.max(0, ...large.map((weight) => 4 * values(weight)));
  const bytes = Math.min(budget ?? Number.POSITIVE_INFINITY, factors + held);
  const figures = {
    modules: weights.length,
    whole: whole.length,
    bytes,
    memory,
    gpu,
    left_out: changes.leftOut.length,
  };
  if (context.options.json) context.json(figures);
  else
    context.print(
      `${tuned.ref}: ${weights.length} changes of rank up to ${options.most}, ${whole.length} tensors whole if they changed; at most ${humanBytes(bytes)} to ${context.out === "-" ? "stdout" : context.out}, ${humanBytes(memory)} of host memory${gpu > 0 ? ` and ${humanBytes(gpu)} on the GPU` : ""}`,
    );
  return {};
}

/** Decomposes all changes, one tensor at a time. */
async function decomposeAll(context: Context, { tuned, base, changes, options }: Job, spool: Spool): Promise<Change[]> {
  const openGpu = gpuOnDemand(context);
  const found: Change[] = [];
  context.progress.start({ total: changes.weights.length, unit: "modules" });
  for (const weight of changes.weights) {
    context.signal.throwIfAborted();
    const copy = await isTiedCopy(weight, tuned);
    const change = copy
      ? undefined
      : await extractChange(weight, options, {
          ...{ spool, openGpu, refs: { tuned: tuned.ref, base: base.ref } },
        });
    if (change) found.push(change);
    context.progress.advance(1, weight.module);
  }
  context.progress.done();
  return found;
}

function nothingChanged({ tuned, base, changes: { leftOut } }: Job): UserError {
  const same = `${tuned.ref} and ${base.ref} hold the same values`;
  return leftOut.length > 0
    ? new UserError(
        `${same} in what the patterns leave in: ${leftOut.length} tensors are left out, ${leftOut[0]} first`,
        "loosen --include-regex or --exclude-regex",
      )
    : new UserError(`${same}: there is nothing to extract`, "name the fine-tune first and its base with --base");
}

/** Says what is not in the adapter. */
function remark(
  context: Context,
  { changes }: Job,
  found: readonly Change[],
  modules: readonly ExtractedModule[],
): void {
  const { leftOut } = changes;
  if (leftOut.length > 0) context.info(`${leftOut.length} tensors are left out by their names, ${leftOut[0]} first`);
  const none = found.filter((change) => !modules.some((one) => one.change === change));
  if (none.length > 0)
    context.warn(
      `${none.length} changed modules get no rank and are not in the adapter, ${none[0]!.weight.module} first`,
    );
  const short = found.filter((change) => change.short);
  if (short.length > 0)
    context.warn(
      `${short.length} modules do not reach the share at rank ${context.options.rank}, ${short[0]!.weight.module} first: give a larger --rank`,
    );
}

export async function extract(context: Context): Promise<Outcome> {
  checkPlace(context);
  const job = await prepare(context);
  if (context.dryRun) return tellPlan(context, job);
  const unfit = await changedUnfit(job.changes.unfit, job.tuned.ref, context.options.skip_undecomposable ?? false);
  for (const { name, why } of unfit) context.warn(`${name} changed and is left out: ${why}`);
  const whole = await heldWhole(job.changes, job.tuned, job.known);
  const spool = new Spool();
  context.onExit(() => spool.close());
  const found = await decomposeAll(context, job, spool);
  if (found.length === 0 && whole.tensors.size === 0) throw nothingChanged(job);
  const { modules, plan } = fit(context, job, found, whole);
  if (modules.length === 0 && whole.tensors.size === 0)
    throw new UserError(
      `no direction of ${found.length} changed modules gets a place: all are below --sv-epsilon, or the rounding of the weights`,
      "lower --sv-epsilon, or allow more with --budget",
    );
  remark(context, job, found, modules);

  const told = new Map<Change, Told>(found.map((change) => [change, toldOf(change, 0)]));
  const { dtype } = job.options;
  const size = await writeAdapter(context.out, plan, {
    ...{ modules, whole: whole.tensors, dtype, options: writeOptions(context), odd: oddWhole(context) },
    factors: async ({ change, rank }) => {
      const made = spool.read(change.spooled, rank);
      told.set(change, toldOf(change, rank, roundingOf(made, rank, dtype)));
      return made;
    },
  });
  const lines = [...told.values()];
  const error = totalError(lines);
  if (lines.length > 0 && !context.options.json) context.print(reportOf(lines, context.verbose));
  if (whole.tensors.size > 0)
    context.info(
      `held whole: ${[...whole.tensors.keys()].slice(0, 4).join(", ")}${whole.tensors.size > 4 ? ` and ${whole.tensors.size - 4} more` : ""}`,
    );
  context.json({
    ...{
      out: context.out,
      bytes: size,
      values: valuesOf(plan.tensors),
      factors: bytesOf(plan.tensors.slice(0, 2 * modules.length)),
    },
    ...{
      error,
      modules: lines,
      whole: [...whole.tensors.keys()],
      left_out: [...job.changes.leftOut, ...unfit.map(({ name }) => name)],
    },
  });
  return written(
    context.out,
    size,
    `${modules.length} modules, ${humanShare(error)} of their change lost in Frobenius norm`,
  );
}
