/**
 * A tiny world for policy gradients: letters for tokens, a model of a few thousand weights, and verifiers that are
 * functions.
 */

import type { PolicyMethod, SharedValues } from "../../../src/align/policies/contract.ts";
import { Efforts } from "../../../src/align/policies/efforts.ts";
import { temperatureOf } from "../../../src/align/policies/entropy-target.ts";
import { HeldPrompts } from "../../../src/align/policies/held-prompts.ts";
import { lengthStages } from "../../../src/align/policies/length-stages.ts";
import { Likelihoods } from "../../../src/align/policies/likelihoods.ts";
import { modeIds } from "../../../src/align/policies/modes.ts";
import { type PolicyBatch, policyObjective } from "../../../src/align/policies/objective.ts";
import type { WeighedPairLoss } from "../../../src/align/policies/pair-term.ts";
import { inOrder } from "../../../src/align/policies/prompt-order.ts";
import { chooseRewardWeights } from "../../../src/align/policies/reward-weights/choose.ts";
import { headsOf } from "../../../src/align/policies/reward-weights/constrained.ts";
import { GradientProducts } from "../../../src/align/policies/reward-weights/gradient-products.ts";
import type { Tuning } from "../../../src/align/policies/reward-weights/threshold-search.ts";
import { RolloutMaker } from "../../../src/align/policies/rollout.ts";
import { planRollouts, sizesOf } from "../../../src/align/policies/rollout-plan.ts";
import { RolloutSource } from "../../../src/align/policies/rollout-source.ts";
import { sampleBuffer } from "../../../src/align/policies/sample-buffer.ts";
import { temperatureSearch } from "../../../src/align/policies/temperature-choice.ts";
import { ValueHead } from "../../../src/align/policies/value-head.ts";
import type { Answered } from "../../../src/align/verifying/contract.ts";
import type { RewardTerm } from "../../../src/align/verifying/rewards.ts";
import { BatchOrder } from "../../../src/data/order.ts";
import type { Tokenizer } from "../../../src/data/tokenizer.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import type { JsonObject } from "../../../src/json.ts";
import { type Bound, bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { Rollouts } from "../../../src/run/generating/rollouts.ts";

/** Tokens: an end, and letters. */
export const END = 0;
const LETTERS = "_abcdefg";

export const letters = {
  name: "letters",
  vocabSize: LETTERS.length,
  pad: END,
  eos: END,
  ends: [END],
  encode: (text: string) => Int32Array.from(text, (letter) => 1 + (letter.charCodeAt(0) % 7)),
  idOf: (token: string) => (LETTERS.indexOf(token) < 0 ? undefined : LETTERS.indexOf(token)),
  decode: (ids: Iterable<number>) => Array.from(ids, (id) => (id === END ? "" : LETTERS[id])).join(""),
  decoder: () => ({ push: (id: number) => (id === END ? "" : LETTERS[id]!), end: () => "" }),
} as unknown as Tokenizer;

export const tinyModel = (gpu: Gpu, vocabulary = LETTERS.length, seed = 3): Promise<Model> =>
  Model.fresh(
    gpu,
    {
      ...{ model_type: "llama", hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2 },
      ...{ vocab_size: vocabulary, max_position_embeddings: 64, initializer_range: 0.4 },
    },
    "tiny",
    { seed },
  );

export const term = (name: string, reward: (answer: Answered) => number | null, weight = 1): RewardTerm => ({
  name,
  weight,
  verifier: { name, score: async (answers) => answers.map(reward) },
});

const METHODS = new URL("../../../src/align/methods/policies/", import.meta.url);

/** A method with its defaults and what is given besides. */
export const bound = async (name: string, settings: Partial<SharedValues> & Record<string, unknown> = {}) =>
  bindDefaults((await loadMethod(METHODS, name)) as unknown as PolicyMethod, settings);

export interface World {
  readonly model: Model;
  readonly chosen: Bound<PolicyMethod>;
  readonly prompts: readonly (readonly number[])[];
  readonly terms: readonly RewardTerm[];
  /** Answers of a micro-batch, and micro-batches of an update. */
  readonly rows?: number;
  readonly accumulate?: number;
  readonly reference?: Model;
  /** Other keys of every row. */
  readonly extra?: JsonObject;
  /** Prompts that the model is measured on before every so many rollouts. */
  readonly tuning?: Tuning;
  /** Whether the temperature is chosen on them. */
  readonly warms?: boolean;
  readonly held?: { readonly prompts: readonly (readonly number[])[]; readonly every: number };
  readonly seed?: number;
  readonly signal?: AbortSignal;
  /** Forms of the loss of --pair-weight. */
  readonly pairLosses?: readonly WeighedPairLoss[];
}

/** Source and objective of a world, as the script sets them up. */
export function policyWorld({
  model,
  chosen,
  prompts: asked,
  terms,
  rows = 4,
  accumulate = 1,
  reference,
  extra = {},
  held,
  tuning,
  warms = false,
  seed = 0,
  signal = new AbortController().signal,
  pairLosses = [],
}: World) {
  const values: SharedValues = chosen.values;
  const promptsOf = (all: World["prompts"], name: string) =>
    all.map((ids, i) => {
      const text = letters.decode(ids);
      const row = { form: "prompt", prompt: text, extra } as const;
      return { ids, text, row, place: `${name}:${i + 1}`, group: 0 };
    });
  const prompts = promptsOf(asked, "world");
  const read = { prompts, groups: [{ name: "world", lengths: Int32Array.from(asked, ({ length }) => length) }] };
  const sizes = sizesOf({ batch_size: rows, accumulate }, chosen);
  const efforts = values.effort_range && new Efforts(values, seed, letters.encode);
  const modes = modeIds(chosen, letters);
  const plan = planRollouts(chosen, { read, sizes, seed, efforts, modes, pad: END });
  const temperature = temperatureOf(chosen);
  const rollouts = new Rollouts(model, letters);
  const head = chosen.method.value && new ValueHead(model, headsOf(chosen.method, values));
  const entropies = chosen.method.entropies === true || values.target_entropy !== undefined;
  const policy = plan.asksOld ? new Likelihoods(model, { temperature, entropies }, head) : undefined;
  const theirs = reference && new Likelihoods(reference, { temperature });
  const weights = chooseRewardWeights(values, terms, { seed, held: held !== undefined, tuning });
  const apart =
    held &&
    new HeldPrompts({
      ...{ prompts: promptsOf(held.prompts, "held"), terms, rollouts, values, seed, signal },
      ...{ size: sizes.prompts, ends: [END], reference: theirs && { scores: theirs, rows, pad: END } },
    });
  const products =
    values.reward_weights === "gradient"
      ? new GradientProducts({ model, chosen, recompute: false, rewards: terms.length, among: values.gradients_of })
      : undefined;
  const maker = new RolloutMaker({
    ...{ chosen, prompts, terms, rollouts, policy, reference: theirs, efforts, modes, seed, signal },
    ...{ weights, products },
    size: sizes.prompts,
    ...{ rows, ends: [END], pad: END, settled: () => Promise.resolve() },
  });
  const told: Readonly<Record<string, number>>[] = [];
  const buffer = sampleBuffer(values, sizes.answers, seed);
  const stages = lengthStages(values, prompts.length);
  const order = inOrder(new BatchOrder({ groups: read.groups, batchSize: 1, seed }));
  const warming = temperatureSearch(chosen, apart, { weights: terms.map(({ weight }) => weight), warms });
  const measuring = held && apart && { prompts: apart, every: held.every };
  const source = new RolloutSource({
    ...{ plan, maker, weights, buffer, stages, order, held: measuring, warming },
    heard: (_, __, ___, facts) => told.push(facts),
  });
  return {
    values,
    source,
    maker,
    head,
    objective: policyObjective({ model, chosen, recompute: false, head, pairLosses }),
    controller: source.controller(),
    told,
    free() {
      rollouts.free();
      products?.free();
      policy?.free();
      theirs?.free();
      head?.free();
    },
  };
}

/** Every counted token of a batch with what batches say of it: row, place in the answer, and its numbers. */
export function tokensOf({ tokens, weights, advantages, old }: PolicyBatch) {
  return Array.from(weights, (weight, i) => ({
    row: Math.floor(i / tokens.length),
    weight,
    advantage: advantages[i]!,
    old: old?.[i],
  })).filter(({ weight }) => weight !== 0);
}
