/**
 * What the tokens of an answer are worth to a student that is to write what its teacher finds likely: the policy
 * gradient of the reverse KL of whole texts. Gu et al., ICLR 2024, https://arxiv.org/abs/2306.08543
 *
 *   r_t   (log p(y_t) - log q_t(y_t)) / reward_scale, within ± reward_clip; p the teacher, q the student as it wrote
 *   R_t   sum over s > t (or s >= t: `own`) of gamma^(s - first) r_s, divided by the number of these tokens
 *         (`length_norm`)
 *   w_t   q_t(y_t) / what y_t was drawn from. By `token` each R_t has the weight of its own token, which is the ratio
 *         to what the token was drawn from; by `text` each r_s has the product of the weights up to s, which is exact
 *
 * With gamma 1, scale 1, no bounds, no division and either alpha 0 or weights by `text`, the mean of
 * -R_t grad log q_t(y_t) and of the gradient of the divergence at each token is the gradient of the reverse KL. With
 * `own` the divergence of the token itself is in R_t already.
 */
import type { Options, Values } from "../method/options.ts";
import type { Drawn } from "./mixed-writing.ts";

export const RETURNS = {
  gamma: {
    type: "0 <= number <= 1",
    default: 0.95,
    help: "what a later token counts less, for each token",
    value: "G",
  },
  reward_scale: { type: "number > 0", default: 0.5, help: "divides the log-ratio of a token", value: "X" },
  reward_clip: { type: "number > 0", default: 100, help: "most that a token is worth, and least", value: "X" },
  returns: {
    type: "'later' | 'own'",
    default: "later",
    help: "a token is worth what comes after it, or itself and that; its own divergence is in --single-step",
  },
  length_norm: { type: "boolean", default: true, help: "divide by how many tokens are summed" },
  importance: {
    type: "'token' | 'text'",
    default: "token",
    help: "weights against what was drawn from: of each token alone, or of all up to it, which is exact and noisy",
  },
} as const satisfies Options;

/** Numbers of every token. */
export interface Worth {
  /** The log-probability that ratios are taken to. */
  readonly against: number;
  readonly advantage: number;
  /** Weight of its divergence. */
  readonly single: number;
}

/** What each token of an answer is worth. */
export function returnsOf(tokens: readonly Drawn[], values: Values<typeof RETURNS>): Worth[] {
  const { gamma, reward_scale, reward_clip, returns, length_norm, importance } = values;
  const byText = importance === "text";
  // Products of the weights up to each token, and before it.
  let product = 0;
  const before: number[] = [];
  const worth = tokens.map(({ own, teacher, drawn }) => {
    before.push(byText ? Math.exp(product) : 1);
    if (byText) product += own - drawn;
    const reward = Math.max(-reward_clip, Math.min(reward_clip, (teacher - own) / reward_scale));
    return reward * (byText ? Math.exp(product) : 1);
  });
  let sum = 0;
  let count = 0;
  const result: Worth[] = [];
  for (let t = tokens.length - 1; t >= 0; t--) {
    const { own, drawn } = tokens[t]!;
    const [rest, of] = [sum, count++];
    sum = worth[t]! + gamma * sum;
    const [total, summed] = returns === "own" ? [sum, count] : [rest, of];
    const advantage = length_norm && summed > 0 ? total / summed : total;
    result.unshift({ against: byText ? own : drawn, advantage, single: before[t]! });
  }
  return result;
}

/** Advantages less their mean, divided by their deviation. */
export function whitened(answers: readonly (readonly Worth[])[]): Worth[][] {
  const all = answers.flat();
  const mean = all.reduce((sum, { advantage }) => sum + advantage, 0) / Math.max(1, all.length);
  const variance = all.reduce((sum, { advantage }) => sum + (advantage - mean) ** 2, 0) / Math.max(1, all.length);
  const scale = 1 / Math.sqrt(variance + 1e-8); // equal ones are 0
  return answers.map((answer) => answer.map((worth) => ({ ...worth, advantage: (worth.advantage - mean) * scale })));
}
