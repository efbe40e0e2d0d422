/**
 * What a model with another tokenizer says of a student's rows, in the student's tokens: it reads the same text, its
 * tokens are aligned with the student's, and the likeliest of what it says are taken for the student's nearest outputs,
 * as if nothing else had a share. Where no token of it stands for the student's, the student's own is certain.
 */
import { collate } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { logProbability } from "../run/generating/rollouts.ts";
import type { RowLogits } from "../run/scoring/all-logits.ts";
import { NOTHING } from "../run/teachers/teacher-cache.ts";
import { type Answering, type Said, topLogProbs } from "../run/teachers/write-teacher-cache.ts";
import { alignTokens, NearestTexts } from "./edit-alignment.ts";
import { textsOf } from "./same-texts.ts";

export interface Aligned {
  readonly own: { readonly tokenizer: Tokenizer; readonly outputs: number };
  readonly other: { readonly tokenizer: Tokenizer; readonly maxLength: number };
  /** Of the student's outputs, and how many of the other's are looked at. */
  readonly k: number;
}

/** The text of every token by itself; special ones have none. */
const piecesOf = (tokenizer: Tokenizer, ids: Int32Array): string[] => {
  const decoder = tokenizer.decoder({ skipSpecial: true });
  return Array.from(ids, (id) => decoder.push(id));
};

/** Shares by id as the k of a row: ids ascending, others that are as good as nothing where there are fewer. */
function kOf(shares: ReadonlyMap<number, number>, k: number): { ids: number[]; logProbs: number[] } {
  const chosen = [...shares].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, k);
  const total = chosen.reduce((sum, [, share]) => sum + share, 0);
  const row = chosen.map(([id, share]) => [id, Math.max(NOTHING, Math.log(share / total))] as const);
  for (let id = 0; row.length < k; id++) if (!shares.has(id)) row.push([id, NOTHING]);
  row.sort((a, b) => a[0] - b[0]);
  return { ids: row.map(([id]) => id), logProbs: row.map(([, value]) => value) };
}

/** Asks a model of another tokenizer. */
export function alignedAnswers(logits: RowLogits, { own, other, k }: Aligned): Answering {
  const nearest = new NearestTexts(textsOf(own.tokenizer, own.outputs));
  const texts = new Map([...textsOf(other.tokenizer, logits.outputs)].map(([text, id]) => [id, text]));
  const v = logits.outputs;

  /** The shares of the student's outputs in a row of the other's logits. */
  const shared = (row: Float32Array): Map<number, number> => {
    const { ids, logProbs } = topLogProbs(row, Math.min(k, v));
    const found = new Map<number, number>();
    for (const [j, id] of ids.entries()) {
      const text = texts.get(id);
      const same = text === undefined ? undefined : nearest.of(text);
      if (same !== undefined) found.set(same, (found.get(same) ?? 0) + Math.exp(logProbs[j]!));
    }
    return found;
  };

  const answer = (sequence: Sequence, theirs: Int32Array, said: (at: number) => Float32Array): Said => {
    const count = sequence.ids.length - 1;
    const pairs = alignTokens(piecesOf(own.tokenizer, sequence.ids), piecesOf(other.tokenizer, theirs));
    const all = { ids: new Int32Array(count * k), logProbs: new Float32Array(count * k) };
    for (let t = 0; t < count; t++) {
      const place = pairs[t + 1]!;
      const shares = place > 0 ? shared(said(place - 1)) : new Map<number, number>();
      const row = kOf(shares.size > 0 ? shares : new Map([[sequence.ids[t + 1]!, 1]]), k);
      all.ids.set(row.ids, t * k);
      all.logProbs.set(row.logProbs, t * k);
    }
    // How well it reads the text, in tokens of its own.
    let sum = 0;
    for (let j = 1; j < theirs.length; j++) sum -= logProbability(said(j - 1), theirs[j]!, 1);
    return { ...all, tail: new Float32Array(count).fill(NOTHING), loss: sum / Math.max(1, theirs.length - 1) };
  };

  return {
    outputs: own.outputs,
    k,
    async say(sequences) {
      const read = sequences.map((sequence) => {
        const text = own.tokenizer.decode(sequence.ids, { skipSpecial: true });
        const ids = other.tokenizer.encode(text, { special: true }).slice(0, other.maxLength);
        const some = ids.length > 0 ? ids : Int32Array.of(other.tokenizer.pad ?? 0);
        return { ...sequence, ids: some, labels: some };
      });
      const batch = collate(
        read.map((row) => [row]),
        { pad: other.tokenizer.pad ?? 0 },
      );
      const values = await logits.of(batch);
      return sequences.map((sequence, i) =>
        answer(sequence, read[i]!.ids, (at) =>
          values.subarray((i * batch.length + at) * v, (i * batch.length + at + 1) * v),
        ),
      );
    },
  };
}
