/** Tokens of two vocabularies that are the same text. */
import type { Tokenizer } from "../data/tokenizer.ts";

export interface SameTexts {
  /** Ids of one vocabulary, and the ids of the other with the same texts, ascending in the first. */
  readonly own: Int32Array;
  readonly other: Int32Array;
  /** Ids of either that are the text of no token of the other's. */
  readonly ownRest: Int32Array;
  readonly otherRest: Int32Array;
}

/** Ids by what a token adds to a text that is under way; the first of those that add the same. Nothing: left out. */
export function textsOf(tokenizer: Tokenizer, outputs: number): Map<string, number> {
  const [before] = tokenizer.encode("a");
  const found = new Map<string, number>();
  for (let id = 0; id < Math.min(outputs, tokenizer.vocabSize); id++) {
    const decoder = tokenizer.decoder({ skipSpecial: true });
    if (before !== undefined) decoder.push(before);
    const text = decoder.push(id);
    if (text !== "" && !found.has(text)) found.set(text, id);
  }
  return found;
}

/** Matches the outputs of two models token by token, by what each adds to a text. */
export function sameTexts(
  own: { readonly tokenizer: Tokenizer; readonly outputs: number },
  other: { readonly tokenizer: Tokenizer; readonly outputs: number },
): SameTexts {
  const theirs = textsOf(other.tokenizer, other.outputs);
  const pairs = [...textsOf(own.tokenizer, own.outputs)].flatMap(([text, id]) => {
    const same = theirs.get(text);
    return same === undefined ? [] : [[id, same] as const];
  });
  pairs.sort(([a], [b]) => a - b);
  const rest = (taken: readonly number[], outputs: number) => {
    const set = new Set(taken);
    return Int32Array.from(Array.from({ length: outputs }, (_, id) => id).filter((id) => !set.has(id)));
  };
  const [ours, same] = [pairs.map(([id]) => id), pairs.map(([, id]) => id)];
  return {
    own: Int32Array.from(ours),
    other: Int32Array.from(same),
    ownRest: rest(ours, own.outputs),
    otherRest: rest(same, other.outputs),
  };
}
