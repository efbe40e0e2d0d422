/**
 * What a policy-gradient method is: advantages from the rewards of a rollout, and a loss of every token from new and
 * old log-probabilities. Each file of methods/policies is one: `--method grpo` is grpo.ts.
 *
 * The frame samples answers, asks the verifiers, keeps the log-probabilities of the policy that sampled, averages as
 * --aggregate says and adds the divergence from the model as it was. Gradients flow through the new log-probabilities
 * alone. A method that differs from GRPO in settings alone names them as `defaults`.
 */
import type { Row } from "../../data/rows.ts";
import type { Json } from "../../json.ts";
import { type Laws, sameClaim } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { POLICY } from "./options.ts";

/** Values of the options that all methods have. */
export type SharedValues = Values<typeof POLICY>;

export type PolicyValues<O extends Options> = SharedValues & Values<O>;

/** The ends of the ratios of tokens, (B, T) each. */
export interface TokenRange {
  readonly low: Tensor;
  readonly high: Tensor;
}

/** The tokens of answers in a micro-batch. What the model does not change takes no gradient. */
export interface TokenTerms<V extends SharedValues = SharedValues> {
  /** (B, T) log-probability of every token that counts under the model as it is; 0 elsewhere. */
  readonly logProbs: Tensor;
  /** (B, T) the same less those of the policy that sampled. */
  readonly logRatio: Tensor;
  /** (B, T) or (B, 1): the importance that --ratio names. */
  readonly ratio: Tensor;
  /** (B, T) */
  readonly advantages: Tensor;
  /** (B, T) of a method that has `traits`. */
  readonly traits: Tensor | undefined;
  /** Of a method that has `range`: where ratios are clipped in the place of --clip-low and --clip-high. */
  readonly range: TokenRange | undefined;
  readonly values: V;
}

/** A row whose prompt is answered. */
export interface PolicyRow {
  readonly row: Row;
  readonly place: string;
}

/** The rewards of a rollout: rows are answers, and the groups follow one another. */
export interface Rewarded<V extends SharedValues = SharedValues> {
  /** Sums of the terms times their weights, with penalties of length. */
  readonly rewards: Float64Array;
  /** (rows, terms): null where a verifier did not score. */
  readonly terms: readonly (readonly (number | null)[])[];
  /** Of the terms. */
  readonly weights: readonly number[];
  /** Rows of a group. */
  readonly group: number;
  /** What was measured of the model as it was on the prompt of each group; for a method with `measure`. */
  readonly measured: readonly number[] | undefined;
  /** Which of the method's modes each answer begins with, -1 of none; for a method with `modes`. */
  readonly modes: readonly number[] | undefined;
  /** Tokens of every answer. */
  readonly lengths: readonly number[];
  /** Whether the limit of tokens ended them. */
  readonly truncated: readonly boolean[];
  /** With --kl-in reward: --kl times k1 of every token, row by row. */
  readonly penalties: readonly Float64Array[] | undefined;
  /** What the value head foretold at every token, row by row; for a method with `value`. Of several rewards in turn. */
  readonly estimates: readonly Float64Array[] | undefined;
  /** Entropy before every token, nats, of the policy that sampled, row by row; for a method that says `entropies`. */
  readonly entropies: readonly Float64Array[] | undefined;
  /** Reward of the most likely answer to the prompt of each group; for a method that says `greedy`. */
  readonly greedy: Float64Array | undefined;
  readonly values: V;
}

/** What a choice among the answers of a rollout sees. */
export interface Choosable<V extends SharedValues = SharedValues> extends Rewarded<V> {
  /** Tokens of every answer. */
  readonly ids: readonly (readonly number[])[];
  /** Log-probability of each of them when it was sampled. */
  readonly sampled: readonly (readonly number[])[];
  /** Under the model as it was, where it is held. */
  readonly reference: readonly ArrayLike<number>[] | undefined;
}

/** The answers that are trained on, of all that were sampled. */
export interface Choice<V extends SharedValues = SharedValues> {
  /** Most answers of a group. */
  most(values: V): number;
  /** Their places within each group, group by group. Where there are fewer, others fill up and count nothing. */
  of(given: Choosable<V>): readonly (readonly number[])[];
  /** Whether it reads likelihoods of the model as it was. */
  readsOriginal?(values: V): boolean;
  /** What it ranks answers by, the largest first; a method that has it is told how they pass on --held-prompts. */
  rank?(given: Choosable<V>): Float64Array;
}

/** The answers of a micro-batch, of which rows 2i and 2i + 1 are a pair: (B, T) each. */
export interface PairTerms<V extends SharedValues = SharedValues> {
  readonly logProbs: Tensor;
  /** Those of the model as it was. */
  readonly reference: Tensor;
  readonly values: V;
}

/** Of every pair: (P) each. */
export interface PairLosses {
  readonly losses: Tensor;
  /** How much more the first of the pair gained than the second. */
  readonly margins: Tensor;
}

/** What a value head says of the tokens of answers. */
export interface ValueTerms<V extends SharedValues = SharedValues> {
  /** (B, T) what is foretold before every token. */
  readonly estimates: Tensor;
  /** (B, T) the same when the answers were sampled. */
  readonly old: Tensor;
  /** (B, T) what followed: the advantage and the old estimate. */
  readonly returns: Tensor;
  readonly values: V;
}

/** Of every answer: one number, or one for each token. */
export type Advantages = readonly (number | Float64Array)[];

/** What holds for every rollout and every batch. */
export const POLICY_LAWS = {
  policyGradient: "where the model is the one that sampled, the gradient is that of -A log p of every token",
  clipped: "a token whose ratio has left the range on the side of its advantage has no gradient",
  zeroSum: "the advantages of a group add up to 0",
  equalRewards: "a group of equal rewards has no gradient",
  shiftFree: "a number added to all rewards changes no advantage",
} as const;

export type PolicyLaw = keyof typeof POLICY_LAWS;

/** Claims all laws of a method. A method names its exceptions after it. */
export const EVERY_POLICY_LAW = sameClaim(POLICY_LAWS, true);

/** Tokens of which an answer begins with one, which says how the rest is written. */
export interface Modes<V extends SharedValues> {
  tokens(values: V): readonly string[];
  /** What the first token of an answer weighs in the loss, apart from the others; as they do when left out. */
  weight?(values: V): number;
  /** Whether one of them is drawn for every answer, all alike likely, and the model goes on from there. */
  readonly forced?: boolean;
}

/** A number of each prompt under the model as it was, which is measured before the first rollout. */
export interface ModelMeasure<V extends SharedValues> {
  /** The mode that its answers, --group of them, are made to begin with. */
  readonly mode: number;
  /** What a row says itself; it is not measured then. Throws UserError. */
  known(row: PolicyRow): number | undefined;
  of(given: Pick<Rewarded<V>, "terms" | "weights" | "values">): number;
}

export interface PolicyMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "policy";
  readonly laws: Laws<PolicyLaw>;
  /** Whether it is told the reward of the most likely answer to each prompt. */
  readonly greedy?: boolean;
  /** Whether likelihoods of the loss are those of the model itself, at whatever temperature answers are sampled. */
  readonly untempered?: boolean;
  /** Which answers are trained on; all when left out. */
  readonly choice?: Choice<PolicyValues<O>>;
  /** Whether it is told the entropy of every token. */
  readonly entropies?: boolean;
  /** Advantages of the answers of a rollout; those of GRPO when left out. */
  advantages?(given: Rewarded<PolicyValues<O>>): Advantages;
  /** A number for every token of the answers, row by row, which its loss reads beside the advantages. */
  traits?(given: Rewarded<PolicyValues<O>>): readonly Float64Array[];
  /** Where the ratios of tokens are clipped; 1 - --clip-low and 1 + --clip-high when left out. */
  range?(rec: Recorder, given: Omit<TokenTerms<PolicyValues<O>>, "range">): TokenRange;
  /** Loss of every token (B, T); the clipped surrogate when left out. */
  tokens?(rec: Recorder, given: TokenTerms<PolicyValues<O>>): Tensor;
  /**
   * Losses of pairs of answers, instead of `tokens`: `choice` takes two of a group, and the loss is a mean of pairs.
   */
  pairs?(rec: Recorder, given: PairTerms<PolicyValues<O>>): PairLosses;
  /**
   * Loss of every token's estimate (B, T), with its weight. A method that has it is given a value head, and returns are
   * its advantages and what the head foretold; the mean is over all tokens of an update.
   */
  value?(rec: Recorder, given: ValueTerms<PolicyValues<O>>): Tensor;
  /** Peak learning rate of the value head, of that of the model; the same when left out. */
  valueRate?(values: PolicyValues<O>, lr: number): number;
  /** What is kept of a rollout for the next one, as JSON. */
  keeps?(given: Rewarded<PolicyValues<O>>): Json;
  /**
   * Temperature of a token from the entropy before it, nats, by what was kept of the rollout before; --temperature for
   * all when left out, or undefined. Log-probabilities for ratios stay those at --temperature.
   */
  heat?(values: PolicyValues<O>, kept: Json | undefined): ((entropy: number) => number) | undefined;
  /** How answers begin; as the model likes when left out. */
  readonly modes?: Modes<PolicyValues<O>>;
  /** Refuses options that do not fit together. Throws UserError. */
  check?(values: PolicyValues<O>): void;
  /** Refuses terms of the reward that do not go with its options. Throws UserError. */
  checkTerms?(values: PolicyValues<O>, terms: readonly { readonly name: string; readonly weight: number }[]): void;
  /** Temperatures that --temperature auto chooses from, and rollouts between two looks at --held-prompts. */
  warming?(values: PolicyValues<O>): { readonly grid: readonly number[]; readonly every: number };
  /** What is measured of the model as it was. */
  readonly measure?: ModelMeasure<PolicyValues<O>>;
}

type Defaults = Partial<SharedValues>;

/** Makes a method: the options of all methods, with its own defaults for some of them, and its own. */
export function definePolicy<const O extends Options>({
  defaults = {},
  ...method
}: Omit<PolicyMethod<O>, "kind"> & { readonly defaults?: Defaults }): PolicyMethod<O> {
  const shared = Object.fromEntries(
    Object.entries(POLICY).map(([name, spec]) => {
      const own = defaults[name as keyof typeof POLICY];
      return [name, own === undefined ? spec : { ...spec, default: own }];
    }),
  );
  return { kind: "policy", ...method, options: { ...method.options, ...shared } };
}
