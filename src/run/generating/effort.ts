/**
 * The effort that a prompt asks for: a share of the tokens that answers to it usually have. It stands behind the
 * prompt, in tokens of its own, so that it reads alike after every prompt. e1: Learning Adaptive Control of Reasoning
 * Effort, 2025, https://arxiv.org/abs/2510.27042
 */

/** Shares are told in hundredths. */
export const EFFORT = "0.01 <= number <= 9.99";

export const effortText = (share: number): string => `[effort ${share.toFixed(2)}]`;

/** A prompt with the field behind it. */
export const withEffort = <P extends { readonly ids: readonly number[]; readonly text: string }>(
  prompt: P,
  share: number,
  encode: (text: string) => ArrayLike<number>,
): P => ({
  ...prompt,
  text: prompt.text + effortText(share),
  ids: [...prompt.ids, ...Array.from(encode(effortText(share)))],
});
