/** Sets learning from preferences up: its rows, the reference's likelihoods, and the objective. */
import type { Message } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Stateful } from "../../method/stateful.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { Built, Opened, RunContext, TrainingData, Work } from "../../run/training/technique.ts";
import { dividedGroups, heldOutBatches } from "../held-out.ts";
import { openReference, type ReferenceModel } from "../reference-model.ts";
import type { AlignRun } from "../run.ts";
import { type PreferenceBatch, preferenceBatch, preferenceBatches } from "./batches.ts";
import type { PreferenceGiven, PreferenceMethod } from "./contract.ts";
import { fallWarning } from "./fall-warning.ts";
import { preferenceObjective } from "./objective.ts";
import { pairLossesOf } from "./pair-losses.ts";
import { ReferenceLikelihoods } from "./reference.ts";
import { cacheKey, readReference, writeReference } from "./reference-cache.ts";
import { rewardMean } from "./reward-mean.ts";
import { type Item, readItems } from "./rows.ts";

export interface PreferenceData extends TrainingData<PreferenceBatch> {
  readonly source: BatchSource<PreferenceBatch>;
  /** Those that are trained on, and the held-out ones behind them. */
  readonly items: readonly Item[];
  /** What --reference names. */
  readonly other: ReferenceModel | undefined;
  /** Id that fills up batches. */
  readonly pad: number;
}

/** The forms of the loss that a method adds up: those of --pair-loss, or its own. Throws UserError. */
export async function choosePairLosses(
  { options, picks }: Pick<AlignRun, "options" | "picks">,
  { method }: Bound<PreferenceMethod>,
): Promise<PreferenceGiven["pairLosses"]> {
  if (options.pair_loss && !method.pairLosses)
    throw new UserError(
      `${method.name} has one form of loss, and --pair-loss chooses another`,
      "leave it out, or take --method dpo",
    );
  return pairLossesOf({ options, picks }, method.pairLosses ?? []);
}

/** Reads the rows. Throws UserError. */
export async function readPreferences(
  run: AlignRun & Pick<RunContext, "onExit">,
  { method, values }: Bound<PreferenceMethod>,
  opened: Opened,
): Promise<PreferenceData> {
  const { options } = run;
  const { tools, order, ref, task } = opened;
  if (!tools) throw new UserError(`preferences are learnt by language models, and ${ref} is a ${task}`);
  method.check?.(values);
  if (options.reference !== undefined && !method.reference)
    throw new UserError(`${method.name} compares with no model, and --reference names one`, "leave it out");
  const other = await openReference(run, opened);
  const groups = dividedGroups(run, opened);
  const reads = method.reads === "answers" ? "answers" : "pairs";
  const { speaks } = method;
  const encode = speaks ? { ...tools.encode, speaks: (message: Message) => speaks(values, message) } : tools.encode;
  const read = await readItems(groups.trained, encode, reads);
  const held = await readItems(groups.held, encode, reads);
  const pad = tools.tokenizer?.pad ?? 0;
  const own = read.flatMap(({ items }) => items);
  const items = [...own, ...held.flatMap((group) => group.items)];
  other?.checkLength([...read, ...held].reduce((most, { lengths }) => Math.max(most, ...lengths), 0));
  return {
    source: preferenceBatches(read, order, pad),
    heldOut: heldOutBatches(held, options.batch_size, (part, number) =>
      preferenceBatch(
        part,
        [...part.keys()].map((i) => own.length + number + i),
        pad,
      ),
    ),
    items,
    other,
    pad,
  };
}

/** The reference's likelihoods: from the file that keeps them, of what --reference names, or of the model as it was. */
async function askReference(
  run: AlignRun,
  data: PreferenceData,
  reference: ReferenceLikelihoods,
  { gpu, model, inputs }: Built,
): Promise<void> {
  const { other } = data;
  if (!other) return asked(run, data, reference, { model, inputs });
  const named = await other.load(gpu);
  try {
    await asked(run, data, reference, { model: named, inputs: [other.checkpoint.headerSha256] });
  } finally {
    named.free();
  }
}

/** Asks a model, unless a file knows what it says. `inputs`: digests of what it was read from. */
async function asked(
  { options, signal, progress, info }: AlignRun,
  { items, pad }: PreferenceData,
  reference: ReferenceLikelihoods,
  { model, inputs }: Pick<Built, "model" | "inputs">,
): Promise<void> {
  const file = options.reference_cache;
  const key = cacheKey(items, inputs);
  const kept = file === undefined ? undefined : await readReference(file, key);
  if (kept) {
    reference.take(kept, `--reference-cache ${file}`);
    await reference.check(model, { rows: options.batch_size, pad, file: file! });
    info(`likelihoods of the reference are those of ${file}`);
    return;
  }
  progress.start({ total: items.length, unit: "rows" });
  await reference.ask(model, { rows: options.batch_size, pad, signal, done: (n) => progress.advance(n, "reference") });
  progress.done();
  if (file !== undefined) await writeReference(file, key, reference.values());
}

export async function setUpPreferences(
  run: AlignRun,
  chosen: Bound<PreferenceMethod>,
  pairLosses: PreferenceGiven["pairLosses"],
  data: PreferenceData,
  built: Built,
): Promise<Work<PreferenceBatch>> {
  const { method, values } = chosen;
  if (method.told) run.info(method.told(values));
  const reference = method.reference ? new ReferenceLikelihoods(data.items) : undefined;
  if (reference && !run.dryRun && !built.resumed) await askReference(run, data, reference, built);
  const hint = `the model learns to say neither; --method rpo, or ${method.pairLosses ? "--pair-loss sigmoid,sft" : "a term of cross-entropy"}, holds the chosen ones`;
  return {
    objective: preferenceObjective({
      model: built.model,
      chosen,
      pairLosses,
      reference,
      recompute: run.options.recompute,
    }),
    controllers: [
      ...(reference ? [controllerOf("reference", reference)] : []),
      ...(pairLosses.some(({ method: { follows } }) => follows) ? [rewardMean()] : []),
      ...(method.reads === "answers" ? [] : [fallWarning((text) => run.warn(text), hint)]),
    ],
  };
}

const controllerOf = (name: string, held: Stateful): Controller => ({
  name,
  state: () => held.state(),
  load: (state) => held.load(state),
});
