/** Sets the training by policy gradients up: prompts, verifiers, rollouts, the model as it was, and the objective. */
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { Rollouts } from "../../run/generating/rollouts.ts";
import { checkStops } from "../../run/generating/stop-texts.ts";
import { makesAdapter } from "../../run/training/adapter-choice.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { Built, Opened, RunContext, TrainingData, Work } from "../../run/training/technique.ts";
import { rewardMean } from "../preferences/reward-mean.ts";
import { openReference, type ReferenceModel } from "../reference-model.ts";
import type { AlignRun } from "../run.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import { Efforts } from "./efforts.ts";
import { checkEntropyTarget, temperatureOf } from "./entropy-target.ts";
import { HeldPrompts } from "./held-prompts.ts";
import type { RolloutSpeed } from "./held-rollout.ts";
import { lengthStages } from "./length-stages.ts";
import { Likelihoods } from "./likelihoods.ts";
import { modeIds } from "./modes.ts";
import { asksReference, type PolicyBatch, policyObjective } from "./objective.ts";
import type { WeighedPairLoss } from "./pair-term.ts";
import { type PromptOrder, promptOrder } from "./prompt-order.ts";
import { type PolicyPrompt, readPolicyPrompts } from "./prompts.ts";
import { chooseRewardWeights } from "./reward-weights/choose.ts";
import { headsOf } from "./reward-weights/constrained.ts";
import { GradientProducts } from "./reward-weights/gradient-products.ts";
import type { Tuning } from "./reward-weights/threshold-search.ts";
import { RolloutMaker } from "./rollout.ts";
import { RolloutFile } from "./rollout-file.ts";
import { planRollouts, type RolloutPlan, sizesOf } from "./rollout-plan.ts";
import { RolloutSource } from "./rollout-source.ts";
import { checkBuffer, sampleBuffer } from "./sample-buffer.ts";
import { temperatureSearch } from "./temperature-choice.ts";
import { ValueHead } from "./value-head.ts";

const ASK = "give --effort-range 0.1,1 with it";

export type PolicyRun = Pick<AlignRun, "options" | "picks" | "seed" | "dryRun" | "signal" | "log">;

export interface PolicyData extends TrainingData<PolicyBatch> {
  readonly plan: RolloutPlan;
  /** What --reference names. */
  readonly other: ReferenceModel | undefined;
  readonly held: readonly PolicyPrompt[] | undefined;
  readonly order: PromptOrder;
}

/** Throws UserError for options that do not go together. */
function checkOptions({ method, values }: Bound<PolicyMethod>): void {
  const given: SharedValues = values;
  const { group, dynamic_sampling: dynamic, overlong, max_new_tokens: longest, combine, kl, kl_in: where } = given;
  checkStops(given.stop);
  if (group < 2 && (method.laws.zeroSum === true || dynamic))
    throw new UserError(
      `${method.name} compares answers to one prompt, and --group 1 is one`,
      "give --group 2 or more",
    );
  if (overlong > longest)
    throw new UserError(`--overlong ${overlong} is more than --max-new-tokens ${longest}`, "lower it");
  if (combine === "normalized" && (overlong > 0 || (kl > 0 && where === "reward")))
    throw new UserError(
      `--combine normalized takes verifiers apart, and ${overlong > 0 ? "--overlong" : "--kl-in reward"} is none`,
      overlong > 0 ? "take the verifier overlong for a --reward" : "take --kl-in loss",
    );
  if (given.held_prompts && given.effort_range)
    throw new UserError("--held-prompts ask for no effort, and prompts of --effort-range do", "leave one of them out");
  method.check?.(values);
  checkBuffer({ method, values });
  checkEntropyTarget({ method, values });
  lengthStages(given, 1);
}

/** Reads the prompts. Throws UserError. */
export async function readPolicies(
  run: PolicyRun & Pick<RunContext, "warn" | "onExit">,
  chosen: Bound<PolicyMethod>,
  opened: Opened,
): Promise<PolicyData> {
  const { options, seed } = run;
  const { task, tools, sizes, ref, split } = opened;
  if (!tools) throw new UserError(`${chosen.method.name} is for language models; this is a ${task}`);
  checkOptions(chosen);
  const values: SharedValues = chosen.values;
  if (options.reference !== undefined && !comparesWith(chosen))
    throw new UserError(
      `${chosen.method.name} compares with no model, and --reference names one`,
      "give --kl 0.05 with it, or leave it out",
    );
  const other = await openReference(run, opened);
  const all = groupsOf(options.data, "--data", options.columns);
  const encode = (text: string) => tools.tokenizer!.encode(text, { special: false });
  const efforts = values.effort_range && tools.tokenizer ? new Efforts(values, seed, encode) : undefined;
  const more = values.max_new_tokens + (efforts?.tokens ?? 0);
  const read = await readPolicyPrompts(split?.rest(all) ?? all, { tools, sizes, ref }, more);
  const apart = values.held_prompts && groupsOf(values.held_prompts, "--held-prompts", options.columns);
  const held = apart && (await readPolicyPrompts(apart, { tools, sizes, ref }, more)).prompts;
  if (held?.length === 0) throw new UserError("--held-prompts has no rows", "name a file of prompts");
  for (const prompt of read.prompts) chosen.method.measure?.known(prompt);
  const plan = planRollouts(chosen, {
    read,
    modes: modeIds(chosen, tools.tokenizer!),
    efforts,
    sizes: sizesOf(options, chosen),
    seed,
    pad: tools.tokenizer?.pad ?? 0,
  });
  const later = (): never => {
    throw new Error("the model writes the batches");
  };
  other?.checkLength(plan.longest + values.max_new_tokens);
  return {
    plan,
    held,
    other,
    order: promptOrder(run, read),
    source: { ...plan, next: later, state: later, load: later },
  };
}

/** Whether likelihoods of the model as it was are asked for. */
function comparesWith({ method, values: own }: Bound<PolicyMethod>): boolean {
  const values: SharedValues = own;
  return values.kl !== 0 || asksReference({ method, values: own }) || method.choice?.readsOriginal?.(own) === true;
}

/** What --reference names, or the model as it was: the base under a new adapter, or a second model. */
async function referenceOf(
  { options }: PolicyRun,
  chosen: Bound<PolicyMethod>,
  other: ReferenceModel | undefined,
  { gpu, model, original }: Built,
): Promise<{ readonly scores: Likelihoods; readonly held: Model | undefined } | undefined> {
  const { kl }: SharedValues = chosen.values;
  if (!comparesWith(chosen)) return undefined;
  if (options.lora_continue && !other)
    throw new UserError(
      "the model as it was is the base with its adapter, which --lora-continue changes",
      `name what to compare with: --reference MODEL${kl === 0 ? "" : ", or leave out --kl"}`,
    );
  const held = other ? await other.load(gpu) : makesAdapter(options) ? undefined : await original();
  return {
    scores: new Likelihoods(held ?? model, { temperature: temperatureOf(chosen), adapter: held !== undefined }),
    held,
  };
}

/** What makes the gradients of each reward, where weights of rewards ask for them. */
function productsOf(
  { options }: PolicyRun,
  chosen: Bound<PolicyMethod>,
  terms: readonly RewardTerm[],
  model: Model,
): GradientProducts | undefined {
  const { reward_weights: kind, gradients_of: among }: SharedValues = chosen.values;
  if (kind !== "gradient") return undefined;
  return new GradientProducts({ model, chosen, recompute: options.recompute, rewards: terms.length, among });
}

/** How fast a rollout was, for the log. */
const speedTold = ({ tokens, seconds, judging }: RolloutSpeed) => ({
  rollout_tokens: tokens,
  rollout_seconds: seconds,
  rollout_tokens_per_s: Math.round(tokens / Math.max(seconds, 1e-9)),
  judging_seconds: judging,
});

/** What losses of pairs take from step to step. */
const followersOf = (pairLosses: readonly WeighedPairLoss[]): Controller[] =>
  pairLosses.some(({ method }) => method.follows) ? [rewardMean(({ metrics }) => metrics.pairs ?? 0)] : [];

/** What says how good answers are. */
export interface PolicyTerms {
  readonly terms: readonly RewardTerm[];
  readonly pairLosses: readonly WeighedPairLoss[];
  /** Of a search for thresholds of rewards, whose gold terms are the last ones. */
  readonly tuning?: Tuning | undefined;
  /** Whether the temperature is chosen on held-out prompts. */
  readonly warms?: boolean;
}

export async function setUpPolicies(
  run: PolicyRun,
  chosen: Bound<PolicyMethod>,
  { terms, pairLosses, tuning, warms = false }: PolicyTerms,
  { plan, held: apart, other, order }: PolicyData,
  built: Built,
): Promise<Work<PolicyBatch>> {
  const { options, seed, signal, log } = run;
  const { gpu, model, tools } = built;
  const { read, sizes, values, pad, efforts } = plan;
  const longest = (apart ?? []).reduce((most, { ids }) => Math.max(most, ids.length), plan.longest);
  if (!efforts && terms.some(({ verifier }) => verifier.name === "effort"))
    throw new UserError("--reward effort judges by the effort that prompts ask for, and they ask for none", ASK);
  const { tokenizer } = tools!;
  const reference = await referenceOf(run, chosen, other, built);
  const before = gpu.pool.allocated;
  const rollouts = new Rollouts(model, tokenizer);
  const { group, max_new_tokens: maxTokens, rollout_rows: rows } = values;
  const atOnce = rows === undefined ? {} : { rows };
  await rollouts.plan(sizes.prompts, longest, { group, maxTokens, ...atOnce });
  if (chosen.method.greedy) await rollouts.plan(sizes.prompts, longest, { group: 1, maxTokens, ...atOnce });
  const held = reference?.held;
  const bytes = held ? [...held.parameters.values()].reduce((sum, parameter) => sum + parameter.bytes, 0) : 0;
  const head = chosen.method.value && new ValueHead(model, headsOf(chosen.method, values));
  const rate = head && chosen.method.valueRate?.(chosen.values, options.lr);
  const entropies = chosen.method.entropies === true || values.target_entropy !== undefined;
  const policy = plan.asksOld
    ? new Likelihoods(model, { temperature: temperatureOf(chosen), entropies }, head)
    : undefined;
  const { tokens: largest } = plan.largest();
  await policy?.plan(largest);
  await reference?.scores.plan(largest);
  const [weight] = model.parameters.values();
  const ends = tokenizer?.ends ?? [];
  const weights = chooseRewardWeights(values, terms, { seed, held: apart !== undefined, tuning });
  const products = productsOf(run, chosen, terms, model);
  await products?.plan(plan.largest());
  const size = sizes.prompts;
  const scores = reference && { scores: reference.scores, rows: sizes.rows, pad };
  const given = { terms, rollouts, values, size, ends, seed, signal, reference: scores };
  const prompts = apart && new HeldPrompts({ prompts: apart, ...given });
  const maker = new RolloutMaker({
    ...{ chosen, terms, rollouts, policy, seed, signal, pad, prompts: read.prompts },
    reference: reference?.scores,
    efforts,
    modes: plan.modes,
    ...{ weights, products, ends, size },
    rows: sizes.rows,
    settled: () => gpu.readWords(weight!.buffer, 1),
  });
  const file = values.rollouts === undefined || run.dryRun ? undefined : new RolloutFile(values.rollouts);
  if (!built.resumed) file?.begin(0);
  const source = new RolloutSource({
    plan,
    maker,
    weights,
    buffer: sampleBuffer(chosen.values, sizes.answers, seed),
    stages: lengthStages(values, read.prompts.length),
    held: prompts && { prompts, every: values.hypervolume_every },
    warming: temperatureSearch(chosen, prompts, { weights: terms.map(({ weight }) => weight), warms }),
    order,
    resumed: (made) => file?.begin(made),
    heard(number, lines, speed, told) {
      file?.add(lines);
      log.event("rollout", { rollout: number, answers: lines.length, ...told, ...speedTold(speed) });
    },
  });
  return {
    objective: policyObjective({ model, chosen, recompute: options.recompute, head, pairLosses }),
    source,
    extra: head?.parameters() ?? [],
    updates: rate === undefined || rate === options.lr ? [] : [head!.scaled(rate / options.lr, seed)],
    controllers: [source.controller(), ...followersOf(pairLosses)],
    memory: { rollouts: gpu.pool.allocated - before, ...(bytes > 0 ? { original: bytes } : {}) },
    free() {
      rollouts.free();
      products?.free();
      policy?.free();
      reference?.scores.free();
      held?.free();
      head?.free();
    },
  };
}
