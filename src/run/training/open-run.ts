/**
 * The first phases of a run of training: what the command line asks for, the model's description, the data. No weight
 * is read.
 */
import { UserError } from "../../errors.ts";
import type { Prompt } from "../generating/prompts.ts";
import { describeModel } from "../open-model.ts";
import { adapterFlag } from "./adapter-choice.ts";
import { carriedRun, continued, goesOn, stepsDone } from "./carried-state.ts";
import { findState, type SavedRun } from "./found-state.ts";
import { type HeldOutGroup, heldOutGroups, readHeldOut, splitOf } from "./held-out.ts";
import { type Choices, choose } from "./optimizer-and-schedule.ts";
import { refuseClashing, tellOfRepeats, warnOfKeep, warnOfSchedule, warnOfTrainedRows } from "./option-checks.ts";
import { parsePrecision } from "./precision/parse.ts";
import { closeRuleFiles, openRuleFiles, type RuleFiles } from "./rules/chosen-rules.ts";
import { checkSettings, refuseForeign, refuseOverwriting } from "./saved-state.ts";
import { type Start, start } from "./starting-model.ts";
import { leftoverIn, stateFolder } from "./state-folder.ts";
import { readSamplePrompts } from "./step-samples.ts";
import type { Opened, RunContext, Technique, TrainingData } from "./technique.ts";

export interface OpenedRun {
  /** For the technique. */
  readonly opened: Opened;
  readonly start: Start;
  readonly choices: Choices;
  /** What options of update rules name. */
  readonly ruleFiles: RuleFiles;
  /** Where the state is saved; undefined: nowhere. */
  readonly folder: string | undefined;
  /** Whether the state stays when the run is over. */
  readonly keeps: boolean;
  /** The run on other data whose optimizer goes on. */
  readonly carried: SavedRun | undefined;
  /** The run that resumes. */
  readonly saved: SavedRun | undefined;
  /** What a run that resumes must have alike. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Checks options, finds a saved run, and opens the model's files. Throws UserError. */
export async function openRun<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
): Promise<OpenedRun> {
  const { options, seed } = context;
  const warn = (message: string) => context.warn(message);
  const { keep_state: keeps = false, carry } = technique.carrying ?? {};
  const folder = stateFolder(context, keeps);
  const saved = options.resume && folder !== undefined ? findState(folder) : undefined;
  if (options.resume && folder === undefined && !context.dryRun)
    throw new UserError("--resume has no saved state when the result goes to stdout", "give --state DIR");
  if (keeps && folder === undefined && !context.dryRun)
    throw new UserError("--keep-state has no folder when the result goes to stdout", "give --state DIR");
  if (folder !== undefined) {
    refuseForeign(folder);
    if (!saved) refuseOverwriting(folder);
    const leftover = saved ? undefined : leftoverIn(folder);
    if (leftover) warn(`${leftover} lacks a part, as a run that was over leaves it; this run begins anew`);
  }
  refuseClashing(context);
  if (options.precision !== undefined) await parsePrecision(options.precision);
  warnOfTrainedRows(context);
  const split = splitOf(options, seed);
  // As JSON has it, for a comparison with what was saved.
  const evaluated = options.patience === undefined ? {} : { eval_every: options.eval_every };
  const settings = JSON.parse(JSON.stringify({ ...context.decisive, ...evaluated, model: technique.model, seed }));
  if (saved) checkSettings(saved.progress, settings, folder!);

  const { trains } = technique;
  const begun = await start({
    ...options,
    model: technique.model,
    role: technique.role,
    embeds: technique.embeds,
    experts: technique.experts,
    changed: technique.changed,
    init: options.init,
    adapterType: context.picks.adapter[0],
    adapterInit: context.picks.adapter_init[0],
    neverNew: !Object.hasOwn(options, "init"),
    train_only: options.train_only ?? (typeof trains === "function" ? undefined : trains),
    seed,
    warn,
    resumed: saved?.folder,
  });
  context.onExit(() => begun.close());
  if (begun.ahead > 0 && options.pack)
    throw new UserError(
      `--pack puts several rows into one, and ${adapterFlag(options)} puts tokens before each of them`,
      "leave the rows unpacked",
    );
  const ruleFiles = await openRuleFiles(options);
  context.onExit(() => closeRuleFiles(ruleFiles));
  const chosen = choose(context.picks, options.lr);
  const carried = carry === undefined || saved ? undefined : carriedRun(carry, chosen.optimizer.method.name);
  const past = saved ? (saved.progress.training.past ?? 0) : carried ? stepsDone(carried.progress.training) : 0;
  const choices = past > 0 && goesOn(chosen) ? continued(chosen, past) : chosen;
  const plain = await describeModel({ ...begun, embeds: technique.embeds }, options, warn);
  const shown = await technique.shows?.(plain);
  const tools = shown && plain.tools ? { ...plain.tools, encode: { ...plain.tools.encode, shown } } : plain.tools;
  const described = { ...plain, tools };
  const examples = { ...described.examples, takesNumbers: technique.regresses, takesNoise: technique.denoises };
  const order = {
    batchSize: options.batch_size,
    seed,
    shuffle: options.shuffle,
    ...(options.mixture ? { weights: options.mixture } : {}),
    ...(options.pack && tools ? { pack: tools.encode.maxLength! } : {}),
  };
  return {
    opened: { ...described, examples, order, split },
    start: begun,
    choices,
    ruleFiles,
    folder,
    keeps,
    carried,
    saved,
    settings,
  };
}

/**
 * The run with a head for so many classes, more than the checkpoint has; nothing is opened or said again. Throws
 * UserError.
 */
export async function withClasses(
  { options }: RunContext,
  { embeds }: Pick<Technique<unknown, TrainingData<unknown>>, "embeds">,
  run: OpenedRun,
  classes: number,
): Promise<OpenedRun> {
  const { order, split } = run.opened;
  const begun = await run.start.grown!(classes);
  return { ...run, opened: { ...(await describeModel({ ...begun, embeds }, options)), order, split }, start: begun };
}

export interface ReadRun<D> {
  /** What the model answers on the way. */
  readonly prompts: readonly Prompt[];
  readonly data: D;
  /** Held-out rows, of which a language model has the cross-entropy; empty where the technique measures its own. */
  readonly heldOut: readonly HeldOutGroup[];
  /** What is held out, whoever measures it. */
  readonly held: readonly { readonly name: string; readonly rows: number }[];
  readonly steps: number;
  /** Steps of a pass over the data, rounded up. */
  readonly perEpoch: number;
}

/** Reads training and held-out data, and counts the steps. Throws UserError. */
export async function readRun<B, D extends TrainingData<B>>(
  context: RunContext,
  technique: Technique<B, D>,
  { opened, choices }: OpenedRun,
): Promise<ReadRun<D>> {
  const { options, progress } = context;
  progress.start({ unit: "rows" });
  const data = await technique.data(opened);
  const heldOut = data.heldOut
    ? []
    : await readHeldOut(heldOutGroups(options, opened.split), opened, options.batch_size);
  const prompts = await readSamplePrompts(options.sample_prompts ?? [], options.columns, opened);
  progress.done();
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new UserError("both --steps and --epochs say how long to train", "give one of them");
  const perEpoch = Math.ceil(data.source.batchesPerEpoch / options.accumulate);
  const steps = options.steps ?? Math.max(1, Math.round((options.epochs ?? 1) * perEpoch));
  warnOfSchedule(context, choices, steps);
  warnOfKeep(context, steps);
  tellOfRepeats(context, opened.tools !== undefined, (steps * options.accumulate) / data.source.batchesPerEpoch);
  return { prompts, data, heldOut, held: data.heldOut ?? heldOut, steps, perEpoch };
}
