/** Sets the training by policy gradients up: prompts, verifiers, rollouts, the model as it was, and the objective. */
import { groupsOf } from "../../data/groups.ts";
import { BatchOrder } from "../../data/order.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { Rollouts } from "../../run/generating/rollouts.ts";
import { checkStops } from "../../run/generating/stop-texts.ts";
import { makesAdapter } from "../../run/training/adapter-choice.ts";
import { digestOf } from "../../run/training/batch-source.ts";
import type { Built, Opened, RunContext, TrainingData, Work } from "../../run/training/technique.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import { Efforts } from "./efforts.ts";
import { Likelihoods } from "./likelihoods.ts";
import { modeIds } from "./modes.ts";
import { asksReference, type PolicyBatch, policyObjective, temperatureOf } from "./objective.ts";
import { readPolicyPrompts } from "./prompts.ts";
import { chooseRewardWeights } from "./reward-weights/choose.ts";
import { RolloutMaker } from "./rollout.ts";
import { RolloutFile } from "./rollout-file.ts";
import { planRollouts, type RolloutPlan, sizesOf } from "./rollout-plan.ts";
import { RolloutSource } from "./rollout-source.ts";
import { ValueHead } from "./value-head.ts";

const ASK = "give --effort-range 0.1,1 with it";

export type PolicyRun = Pick<RunContext, "options" | "seed" | "dryRun" | "signal" | "log">;

export interface PolicyData extends TrainingData<PolicyBatch> {
  readonly plan: RolloutPlan;
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
  method.check?.(values);
}

/** Reads the prompts. Throws UserError. */
export async function readPolicies(
  { options, seed }: PolicyRun,
  chosen: Bound<PolicyMethod>,
  { task, tools, sizes, ref, split }: Opened,
): Promise<PolicyData> {
  if (!tools) throw new UserError(`${chosen.method.name} is for language models; this is a ${task}`);
  checkOptions(chosen);
  const values: SharedValues = chosen.values;
  const all = groupsOf(options.data, "--data", options.columns);
  const encode = (text: string) => tools.tokenizer!.encode(text, { special: false });
  const efforts = values.effort_range && tools.tokenizer ? new Efforts(values, seed, encode) : undefined;
  const more = values.max_new_tokens + (efforts?.tokens ?? 0);
  const read = await readPolicyPrompts(split?.rest(all) ?? all, { tools, sizes, ref }, more);
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
  return { plan, source: { ...plan, next: later, state: later, load: later } };
}

/** The model as it was, where its likelihoods are asked for: the base under a new adapter, or a second model. */
async function referenceOf(
  { options }: PolicyRun,
  chosen: Bound<PolicyMethod>,
  { model, original }: Built,
): Promise<{ readonly scores: Likelihoods; readonly held: Model | undefined } | undefined> {
  const { kl }: SharedValues = chosen.values;
  const { method, values } = chosen;
  if (kl === 0 && !asksReference(chosen) && !method.choice?.readsOriginal?.(values)) return undefined;
  if (options.lora_continue)
    throw new UserError(
      "the model as it was is the base with its adapter, which --lora-continue changes",
      `merge the adapter into the base first${kl === 0 ? "" : ", or leave out --kl"}`,
    );
  const held = makesAdapter(options) ? undefined : await original();
  return {
    scores: new Likelihoods(held ?? model, { temperature: temperatureOf(chosen), adapter: held !== undefined }),
    held,
  };
}

export async function setUpPolicies(
  run: PolicyRun,
  chosen: Bound<PolicyMethod>,
  terms: readonly RewardTerm[],
  { plan }: PolicyData,
  built: Built,
): Promise<Work<PolicyBatch>> {
  const { options, seed, signal, log } = run;
  const { gpu, model, tools } = built;
  const { read, sizes, values, pad, longest, efforts } = plan;
  if (!efforts && terms.some(({ verifier }) => verifier.name === "effort"))
    throw new UserError("--reward effort judges by the effort that prompts ask for, and they ask for none", ASK);
  const { tokenizer } = tools!;
  const reference = await referenceOf(run, chosen, built);
  const before = gpu.pool.allocated;
  const rollouts = new Rollouts(model, tokenizer);
  const { group, max_new_tokens: maxTokens, rollout_rows: rows } = values;
  const atOnce = rows === undefined ? {} : { rows };
  await rollouts.plan(sizes.prompts, longest, { group, maxTokens, ...atOnce });
  if (chosen.method.greedy) await rollouts.plan(sizes.prompts, longest, { group: 1, maxTokens, ...atOnce });
  const held = reference?.held;
  const bytes = held ? [...held.parameters.values()].reduce((sum, parameter) => sum + parameter.bytes, 0) : 0;
  const head = chosen.method.value && new ValueHead(model);
  const rate = head && chosen.method.valueRate?.(chosen.values, options.lr);
  const { entropies = false } = chosen.method;
  const policy = plan.asksOld
    ? new Likelihoods(model, { temperature: temperatureOf(chosen), entropies }, head)
    : undefined;
  const { tokens: largest } = plan.largest();
  await policy?.plan(largest);
  await reference?.scores.plan(largest);
  const [weight] = model.parameters.values();
  const weights = chooseRewardWeights(values, terms, seed);
  const maker = new RolloutMaker({
    ...{ chosen, terms, rollouts, policy, seed, signal, pad, prompts: read.prompts },
    reference: reference?.scores,
    efforts,
    modes: plan.modes,
    weights,
    size: sizes.prompts,
    rows: sizes.rows,
    ends: tokenizer?.ends ?? [],
    settled: () => gpu.readWords(weight!.buffer, 1),
  });
  const file = values.rollouts === undefined || run.dryRun ? undefined : new RolloutFile(values.rollouts);
  if (!built.resumed) file?.begin(0);
  const order = new BatchOrder({
    groups: read.groups,
    batchSize: 1,
    seed,
    shuffle: options.shuffle,
    ...(options.mixture ? { weights: options.mixture } : {}),
    digest: digestOf(read.prompts.map(({ ids }) => Int32Array.from(ids))),
  });
  const source = new RolloutSource({
    plan,
    maker,
    weights,
    order,
    resumed: (made) => file?.begin(made),
    heard(number, lines, { tokens, seconds, judging }, told) {
      file?.add(lines);
      log.event("rollout", {
        rollout: number,
        answers: lines.length,
        ...told,
        rollout_tokens: tokens,
        rollout_seconds: seconds,
        rollout_tokens_per_s: Math.round(tokens / Math.max(seconds, 1e-9)),
        judging_seconds: judging,
      });
    },
  });
  return {
    objective: policyObjective({ model, chosen, recompute: options.recompute, head }),
    source,
    extra: head?.parameters() ?? [],
    updates: rate === undefined || rate === options.lr ? [] : [head!.scaled(rate / options.lr, seed)],
    controllers: [source.controller()],
    memory: {
      rollouts: gpu.pool.allocated - before,
      ...(bytes > 0 ? { original: bytes } : {}),
    },
    free() {
      rollouts.free();
      policy?.free();
      reference?.scores.free();
      held?.free();
      head?.free();
    },
  };
}
