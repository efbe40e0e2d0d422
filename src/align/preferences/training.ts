/** Sets learning from preferences up: its rows, the reference's likelihoods, and the objective. */
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Stateful } from "../../method/stateful.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { Built, Opened, TrainingData, Work } from "../../run/training/technique.ts";
import type { AlignRun } from "../run.ts";
import { type PreferenceBatch, preferenceBatches } from "./batches.ts";
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
  readonly items: readonly Item[];
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
  { options }: Pick<AlignRun, "options">,
  { method, values }: Bound<PreferenceMethod>,
  { tools, order, ref, task }: Opened,
): Promise<PreferenceData> {
  if (!tools) throw new UserError(`preferences are learnt by language models, and ${ref} is a ${task}`);
  method.check?.(values);
  const groups = groupsOf(options.data, "--data", options.columns);
  const read = await readItems(groups, tools.encode, method.reads === "answers" ? "answers" : "pairs");
  const pad = tools.tokenizer?.pad ?? 0;
  return { source: preferenceBatches(read, order, pad), items: read.flatMap(({ items }) => items), pad };
}

/** The reference's likelihoods: from the file that keeps them, or of the model as it was. */
async function askReference(
  { options, signal, progress, info }: AlignRun,
  { items, pad }: PreferenceData,
  reference: ReferenceLikelihoods,
  { model, inputs }: Built,
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
