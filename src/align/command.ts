/** What the `align` script does: a training of each family of methods. */
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Bound, bind } from "../method/bind.ts";
import { flagOf } from "../method/options.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { LoggedMethod } from "./logged/contract.ts";
import { type LoggedBatch, loggedObjective, readDecisions } from "./logged/training.ts";
import type { ALIGN } from "./options.ts";
import type { PolicyMethod, SharedValues } from "./policies/contract.ts";
import type { PolicyBatch } from "./policies/objective.ts";
import { choosePairTerm } from "./policies/pair-choice.ts";
import { checkRewardWeights } from "./policies/reward-weights/choose.ts";
import type { Tuning } from "./policies/reward-weights/threshold-search.ts";
import { checkHeldPrompts, withTemperature } from "./policies/temperature-choice.ts";
import { type PolicyData, readPolicies, setUpPolicies } from "./policies/training.ts";
import type { PreferenceBatch } from "./preferences/batches.ts";
import type { PreferenceMethod } from "./preferences/contract.ts";
import { choosePairLosses, type PreferenceData, readPreferences, setUpPreferences } from "./preferences/training.ts";
import type { ReferenceModel } from "./reference-model.ts";
import type { RewardMethod } from "./reward-models/contract.ts";
import { rewardTechnique } from "./reward-models/training.ts";
import { freeRewards, type RewardSetup, type RewardTerm, readyRewards, rewardTerms } from "./verifying/rewards.ts";

type AlignContext = Context<typeof ALIGN, "align">;

/** What a sub-command adds to a policy's training. */
export interface Searched {
  /** For lineage. */
  readonly script: string;
  /** Terms that count nothing, and how thresholds are searched by them. Throws UserError. */
  tuning(
    chosen: Bound<PolicyMethod>,
    terms: readonly RewardTerm[],
    known: Pick<RewardSetup, "maxTokens" | "gpu">,
  ): Promise<{ readonly gold: readonly RewardTerm[]; readonly tuning: Tuning }>;
}

export async function align(context: AlignContext, searched?: Searched): Promise<Outcome> {
  const { method, options } = context;
  const { kind, name } = method!;
  if (options.eval_split !== undefined && (kind === "policy" || kind === "logged"))
    throw new UserError(
      `--eval-split holds out rows that the method's own loss is measured on, and that of ${name} is of what the model does now`,
      "give --eval-data rows of completions, or measure the result by bun run evaluate",
    );
  if (options.curriculum !== undefined && kind !== "policy")
    throw new UserError(
      `--curriculum follows the advantages of sampled answers, and ${name} samples none`,
      "leave it out, or see bun run curriculum --help for training on texts",
    );
  if (options.overflow === "split")
    throw new UserError(
      "--overflow split makes several rows of one, and an answer is compared as a whole",
      "leave it out",
    );
  const { settings } = context;
  if (searched && kind !== "policy")
    throw new UserError(`${searched.script} trains a policy, and ${name} is none`, "--method ppo");
  switch (method!.kind) {
    case "preference":
      return preferences(context, bind<PreferenceMethod>(method!, settings));
    case "policy":
      return policies(context, bind<PolicyMethod>(method!, settings), searched);
    case "reward-model":
      return rewardModel(context, bind<RewardMethod>(method!, settings));
    case "logged":
      return logged(context, bind<LoggedMethod>(method!, settings));
  }
}

/** Trains a policy from logged decisions. */
function logged(context: AlignContext, chosen: Bound<LoggedMethod>): Promise<Outcome> {
  if (context.options.reference !== undefined)
    throw new UserError(`--reference has no effect on ${chosen.method.name}`, "leave it out");
  return runTraining<LoggedBatch>(context, {
    script: "align",
    method: chosen.method.name,
    model: context.args[0] ?? "-",
    data: (opened) => readDecisions(context, chosen, opened),
    work: async ({ model }) => ({ objective: loggedObjective(model, chosen) }),
  });
}

/** Trains by rewards of answers that the model samples. */
async function policies(
  context: AlignContext,
  asked: Bound<PolicyMethod>,
  searched: Searched | undefined,
): Promise<Outcome> {
  const { options } = context;
  const { chosen, warms } = withTemperature(asked);
  const values: SharedValues = chosen.values;
  if (options.reference_cache)
    throw new UserError(
      `--reference-cache is for methods of preferences; this is ${chosen.method.name}`,
      "leave it out",
    );
  const pairLosses = await choosePairTerm(context, chosen); // refused before anything is read
  const { promise: gpu, resolve } = Promise.withResolvers<Gpu>();
  const known = { maxTokens: values.max_new_tokens, gpu: () => gpu };
  const rewards = await rewardTerms(values, known); // refused before anything is read
  checkRewardWeights(chosen, rewards);
  checkHeldPrompts(chosen, warms);
  chosen.method.checkTerms?.(chosen.values, rewards);
  const search = await searched?.tuning(chosen, rewards, known);
  const terms = [...rewards, ...(search?.gold ?? [])];
  context.onExit(() => freeRewards(terms));
  return runTraining<PolicyBatch, PolicyData>(context, {
    script: searched?.script ?? "align",
    method: chosen.method.name,
    model: context.args[0] ?? "-",
    data: (opened) => readPolicies(context, chosen, opened),
    async work(built, data) {
      resolve(built.gpu);
      const judges = await readyRewards(terms, built.gpu);
      const work = await setUpPolicies(
        context,
        chosen,
        { terms, pairLosses, tuning: search?.tuning, warms },
        data,
        built,
      );
      return judges === 0 ? work : { ...work, memory: { ...work.memory, judges } };
    },
    read: ({ other }) => referenceRead(other),
  });
}

/** Trains a reward model. */
async function rewardModel(context: AlignContext, chosen: Bound<RewardMethod>): Promise<Outcome> {
  const { options } = context;
  const none = ["sample_prompts", "pair_loss", "reference", "reference_cache"] as const;
  const odd = none.find((name) => options[name]);
  if (odd) throw new UserError(`${flagOf(odd)} has no effect on a reward model`, "leave it out");
  return runTraining(context, rewardTechnique(context, context.args[0] ?? "-", chosen));
}

const referenceRead = (other: ReferenceModel | undefined) =>
  other ? [{ checkpoint: other.checkpoint, role: "reference" }] : [];

/** Trains by preferences. */
async function preferences(context: AlignContext, chosen: Bound<PreferenceMethod>): Promise<Outcome> {
  const pairLosses = await choosePairLosses(context, chosen); // refused before anything is read
  return runTraining<PreferenceBatch, PreferenceData>(context, {
    script: "align",
    method: chosen.method.name,
    model: context.args[0] ?? "-",
    data: (opened) => readPreferences(context, chosen, opened),
    work: (built, data) => setUpPreferences(context, chosen, pairLosses, data, built),
    read: ({ other }) => referenceRead(other),
  });
}
