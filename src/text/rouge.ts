/**
 * Words of the right answer that a text gives in their order. Lin 2004, https://aclanthology.org/W04-1013
 *
 * Words are lower-cased runs of letters and digits; those of more than three characters are stemmed. Recall divides the
 * longest common subsequence by the words of the right answer.
 */
import { stem } from "./stem.ts";

export interface Rouge {
  readonly recall: number;
  readonly f1: number;
  /** Recall of single words, whatever their order. */
  readonly recall1: number;
}

const wordsOf = (text: string): string[] =>
  (text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? []).map((word) => (word.length > 3 ? stem(word) : word));

/** Length of the longest common subsequence. */
function commonLength(a: readonly string[], b: readonly string[]): number {
  let row = new Uint32Array(b.length + 1);
  for (const word of a) {
    const next = new Uint32Array(b.length + 1);
    for (const [j, other] of b.entries()) next[j + 1] = word === other ? row[j]! + 1 : Math.max(row[j + 1]!, next[j]!);
    row = next;
  }
  return row[b.length]!;
}

function countWords(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** Compares a text with the expected one. NaN where nothing is expected. */
export function rouge(expected: string, found: string): Rouge {
  const [reference, output] = [wordsOf(expected), wordsOf(found)];
  const lcs = commonLength(reference, output);
  const counts = countWords(output);
  let shared = 0;
  for (const [word, n] of countWords(reference)) shared += Math.min(n, counts.get(word) ?? 0);
  const n = reference.length;
  return { recall: lcs / n, f1: n === 0 ? Number.NaN : (2 * lcs) / (n + output.length), recall1: shared / n };
}
