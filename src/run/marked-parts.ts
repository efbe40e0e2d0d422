/** Sequences as people read them: text in parts, with those that the loss counts marked. */
import { IGNORED } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { visible } from "../text/visible.ts";

/** Neighbouring tokens that all count, or all do not. */
export interface Part {
  readonly counts: boolean;
  readonly ids: number[];
  text: string;
}

/**
 * Parts of a sequence; without a tokenizer its ids. The first token does not count: nothing predicts it. A character
 * that is split over tokens stands with the last of them.
 */
export function partsOf({ ids, labels }: Pick<Sequence, "ids" | "labels">, tokenizer: Tokenizer | undefined): Part[] {
  const parts: Part[] = [];
  const decoder = tokenizer?.decoder();
  for (const [i, id] of ids.entries()) {
    const counts = i > 0 && labels[i] !== IGNORED;
    if (parts.at(-1)?.counts !== counts) parts.push({ counts, ids: [], text: "" });
    const part = parts.at(-1)!;
    part.text += decoder?.push(id) ?? `${part.ids.length > 0 ? " " : ""}${id}`;
    part.ids.push(id);
  }
  const last = parts.at(-1);
  if (last && decoder) last.text += decoder.end();
  return parts;
}

/** For terminals: what counts is green. What would steer the terminal is made visible. */
export const coloured = ({ counts, text }: Part): string =>
  counts ? `\u001b[1;32m${visible(text)}\u001b[0m` : visible(text);

/** What counts is in brackets. */
export const bracketed = ({ counts, text }: Part): string => (counts ? `⟦${visible(text)}⟧` : visible(text));
