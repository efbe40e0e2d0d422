/**
 * Easy data augmentation: a sentence with some words replaced by synonyms, joined by synonyms, swapped or left out. Wei
 * and Zou, EMNLP 2019, https://arxiv.org/abs/1901.11196
 *
 * Departs from the authors' code where round(rate n) is 0: nothing changes then, where it changes one word.
 */
import type { Random } from "../random.ts";

export const OPERATIONS = ["replace", "insert", "swap", "delete"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Synonyms of words in lower case. */
export type Synonyms = ReadonlyMap<string, readonly string[]>;

export const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

const synonymsOf = (word: string, synonyms: Synonyms): readonly string[] => synonyms.get(word.toLowerCase()) ?? [];

/** Places of words that have synonyms, in random order. */
const placesWith = (words: readonly string[], synonyms: Synonyms, random: Random): number[] =>
  random.shuffled(words.flatMap((word, place) => (synonymsOf(word, synonyms).length > 0 ? [place] : [])));

/** `count` words become one of their synonyms each; fewer where fewer have any. */
function replace(words: readonly string[], count: number, synonyms: Synonyms, random: Random): string[] {
  const result = [...words];
  for (const place of placesWith(words, synonyms, random).slice(0, count))
    result[place] = random.pick(synonymsOf(words[place]!, synonyms));
  return result;
}

/** `count` times a synonym of one of the words is put somewhere. */
function insert(words: readonly string[], count: number, synonyms: Synonyms, random: Random): string[] {
  const result = [...words];
  for (let i = 0; i < count; i++) {
    const [place] = placesWith(words, synonyms, random);
    if (place === undefined) break;
    result.splice(random.below(result.length + 1), 0, random.pick(synonymsOf(words[place]!, synonyms)));
  }
  return result;
}

/** `count` times two words change places. */
function swap(words: readonly string[], count: number, random: Random): string[] {
  const result = [...words];
  if (result.length < 2) return result;
  for (let i = 0; i < count; i++) {
    const first = random.below(result.length);
    const second = (first + 1 + random.below(result.length - 1)) % result.length;
    [result[first], result[second]] = [result[second]!, result[first]!];
  }
  return result;
}

/** Each word is left out with probability `rate`; one stays at least. */
function remove(words: readonly string[], rate: number, random: Random): string[] {
  const result = words.filter(() => random.uniform() >= rate);
  return result.length > 0 || words.length === 0 ? result : [random.pick(words)];
}

/** The words of a sentence after one operation at a rate. */
export function augmented(
  words: readonly string[],
  operation: Operation,
  given: { readonly rate: number; readonly synonyms: Synonyms; readonly random: Random },
): string[] {
  const { rate, synonyms, random } = given;
  const count = Math.round(rate * words.length);
  if (operation === "replace") return replace(words, count, synonyms, random);
  if (operation === "insert") return insert(words, count, synonyms, random);
  if (operation === "swap") return swap(words, count, random);
  return remove(words, rate, random);
}
