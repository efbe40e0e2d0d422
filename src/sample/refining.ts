/**
 * Drafts that a better model goes over: the tokens that it finds least likely become what it would write in their
 * place, all at once, fewer of them from round to round, for as long as the draft becomes likelier. After
 * "Diffusion Models as Optimizers for Efficient Planning", 2024, https://arxiv.org/abs/2407.16142, whose draft is a
 * trajectory and whose refining is the end of a diffusion chain; for texts this is the analogue, a reconstruction.
 *
 * A round costs one pass over the texts, and no token is written one by one. A text keeps its number of tokens.
 */

import { IGNORED } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";

export interface Draft {
  /** What the text stands behind; it stays. */
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
}

/** What a model says of the tokens of a text, one entry each. */
export interface Judged {
  readonly nll: ArrayLike<number>;
  readonly argmax: ArrayLike<number>;
}

/** Scores sequences, in their order. */
export type Judge = (sequences: readonly Sequence[]) => Promise<readonly Judged[]>;

export interface RefineOptions {
  /** M, rounds at most. */
  readonly rounds: number;
  /** rho_0, the share of tokens that the first round may change; round m may change rho_0 (1 - m / M). */
  readonly share: number;
}

export interface Refined {
  readonly ids: readonly number[];
  /** Mean loss of the draft and of the result, nats per token; NaN of an empty text. */
  readonly before: number;
  readonly after: number;
  /** Rounds that changed something for the better. */
  readonly rounds: number;
}

const mean = ({ nll }: Judged): number => Array.from(nll).reduce((a, b) => a + b, 0) / nll.length;

const sequenceOf = ({ prompt }: Draft, ids: readonly number[], group: number): Sequence => ({
  ids: Int32Array.of(...prompt, ...ids),
  labels: Int32Array.of(...prompt.map(() => IGNORED), ...ids),
  group,
  place: `draft ${group + 1}`,
});

/** A text with its `most` least likely tokens replaced; undefined where all of them are what the model would write. */
export function changed(ids: readonly number[], { nll, argmax }: Judged, most: number): number[] | undefined {
  const odd = [...ids.keys()].filter((i) => argmax[i] !== ids[i]).sort((a, b) => nll[b]! - nll[a]! || a - b);
  if (odd.length === 0 || most === 0) return undefined;
  const result = [...ids];
  for (const i of odd.slice(0, most)) result[i] = argmax[i]!;
  return result;
}

/** Refines all drafts together. A prompt has a token at least, as the first token of a text has no likelihood. */
export async function refined(
  drafts: readonly Draft[],
  judge: Judge,
  { rounds, share }: RefineOptions,
): Promise<Refined[]> {
  const full = drafts.flatMap(({ ids }, i) => (ids.length > 0 ? [i] : []));
  const judged = new Map<number, Judged>();
  const first = await judge(full.map((i) => sequenceOf(drafts[i]!, drafts[i]!.ids, i)));
  for (const [at, i] of full.entries()) judged.set(i, first[at]!);
  const state = drafts.map(({ ids }, i) => {
    const loss = judged.has(i) ? mean(judged.get(i)!) : Number.NaN;
    return { ids, before: loss, after: loss, rounds: 0 };
  });
  let open = full;
  for (let round = 0; round < rounds && open.length > 0; round++) {
    const tried = open.flatMap((i) => {
      const { ids } = state[i]!;
      const most = Math.ceil(share * (1 - round / rounds) * ids.length);
      const other = changed(ids, judged.get(i)!, most);
      return other ? [{ i, ids: other }] : [];
    });
    if (tried.length === 0) break;
    const found = await judge(tried.map(({ i, ids }) => sequenceOf(drafts[i]!, ids, i)));
    open = [];
    for (const [at, { i, ids }] of tried.entries()) {
      const after = mean(found[at]!);
      if (!(after < state[i]!.after)) continue; // the likelihood stops rising: the text before stays
      state[i] = { ...state[i]!, ids, after, rounds: state[i]!.rounds + 1 };
      judged.set(i, found[at]!);
      open.push(i);
    }
  }
  return state;
}
