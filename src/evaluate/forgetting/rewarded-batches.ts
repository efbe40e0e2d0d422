/**
 * Batches of reinforcement fine-tuning: answers of the model as it is, each weighed so that a step on their
 * cross-entropy is one of GRPO's first updates of a rollout, where the ratio is 1:
 *
 *   loss = -1/n sum_i A_i / |y_i| sum_t log p(y_it),  A_i = (r_i - mean) / (deviation + 1e-6) in the group
 *
 * r_i is 1 of an exact answer, less a weight times log p(y_i) - log p_0(y_i) where the model as it was counts. Groups
 * of equal rewards weigh nothing.
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { permutation } from "../../data/shuffle.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { type Answering, sequenceOf } from "./answering.ts";
import { isRight, type TaskRow } from "./tasks.ts";

export interface RewardedSetup {
  readonly rows: readonly TaskRow[];
  readonly answering: Answering;
  /** The model as it was, and what the divergence from it weighs. */
  readonly reference?: { readonly answering: Answering; readonly weight: number } | undefined;
  readonly prompts: number;
  readonly group: number;
  readonly ends: readonly number[];
  readonly pad: number;
  /** Most tokens of a prompt and an answer. */
  readonly longest: number;
  readonly seed: number;
  readonly name: string;
}

/** Advantages of the rewards of a group. */
export function groupAdvantages(rewards: readonly number[]): number[] {
  const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  const squares = rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / Math.max(1, rewards.length - 1));
  return rewards.map((r) => (deviation < 1e-6 ? 0 : (r - mean) / (deviation + 1e-6)));
}

export interface RewardedBatches extends BatchSource<TokenBatch> {
  /** Of exact answers alone: the mean over all prompts of the variance of a group. */
  variance(): number;
  rollouts(): number;
}

export function rewardedBatches(setup: RewardedSetup): RewardedBatches {
  const { rows, answering, reference, prompts, group, ends, pad, longest, seed, name } = setup;
  let [drawn, variances, asked] = [0, 0, 0];
  let [epochOf, order]: [number, readonly number[]] = [-1, []];
  const row = (at: number): TaskRow => {
    const epoch = Math.floor(at / rows.length);
    if (epoch !== epochOf)
      [epochOf, order] = [epoch, Array.from(permutation(rows.length, seed, epoch, `prompts of ${name}`))];
    return rows[order[at % rows.length]!]!;
  };
  const later = (): never => {
    throw new Error("the batches of a probe are not continued");
  };
  return {
    groups: [{ name, rows: rows.length }],
    batchesPerEpoch: Math.max(1, Math.ceil(rows.length / prompts)),
    largest() {
      const ids = new Int32Array(longest);
      return collate(
        Array.from({ length: prompts * group }, () => [{ ids, labels: ids, group: 0, place: "" }]),
        { pad },
      );
    },
    async next() {
      const own = Array.from({ length: prompts }, (_, i) => row(drawn + i));
      const key = `${name} ${drawn}`;
      drawn += prompts;
      const all = own.flatMap((one) => Array.from({ length: group }, () => one));
      const said = await answering.sample(own, group, key);
      const ids = said.map((answer) => answer.ids);
      const right = said.map((answer, i) => (isRight(answer.ids, all[i]!, ends) ? 1 : 0));
      const before = await reference?.answering.logProbs(all, ids);
      const rewards = right.map((r, i) => {
        const now = said[i]!.logProbs.reduce((a, b) => a + b, 0);
        return before ? r - reference!.weight * (now - before[i]!) : r;
      });
      const advantages = own.flatMap((_, p) => groupAdvantages(rewards.slice(p * group, (p + 1) * group)));
      for (let p = 0; p < prompts; p++) {
        const share = right.slice(p * group, (p + 1) * group).reduce<number>((a, b) => a + b, 0) / group;
        [variances, asked] = [variances + share * (1 - share), asked + 1];
      }
      // The objective is a mean over all tokens of the batch.
      const tokens = ids.reduce((sum, answer) => sum + answer.length, 0);
      const weightOf = (i: number) => (advantages[i]! * tokens) / (ids.length * ids[i]!.length);
      const sequences = all.map((one, i) => [sequenceOf(one, ids[i]!, weightOf(i))]);
      return { batch: collate(sequences, { pad }), epoch: Math.floor(drawn / rows.length) };
    },
    state: later,
    load: later,
    variance: () => (asked > 0 ? variances / asked : Number.NaN),
    rollouts: () => asked * group,
  };
}
