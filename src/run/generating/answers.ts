/** Sequences of a prompt and an answer, taken apart and put together: for answers that a model writes itself. */
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";

/** Tokens before the first that counts; of a sequence that counts from its start, `promptTokens` of them. */
export function promptOf({ ids, labels }: Sequence, promptTokens: number): Int32Array {
  const first = labels.findIndex((label, i) => label !== IGNORED && i > 0);
  return first > 1 ? ids.slice(0, first) : ids.slice(0, Math.max(1, Math.min(promptTokens, ids.length - 1)));
}

/** A prompt and its answer, of which only the answer counts; group and place are those of `sequence`, marks none. */
export function answered(sequence: Sequence, prompt: ArrayLike<number>, answer: ArrayLike<number>): Sequence {
  const ids = Int32Array.of(...Array.from(prompt), ...Array.from(answer));
  const labels = Int32Array.from(ids, (id, i) => (i < prompt.length ? IGNORED : id));
  const { marks: _, ...row } = sequence;
  return { ...row, ids, labels };
}
