/**
 * Texts that switch between two languages: some spans become their translation, each as a whole, so that a span is of
 * one language. SwitchLingua 2025, after its abstract: it writes such texts with several agents, here a table of
 * phrases or a text's own translation is what they are made of.
 */
import type { Random } from "../random.ts";

/** Phrases in lower case with their translations. */
export type Translations = ReadonlyMap<string, readonly string[]>;

interface Span {
  readonly start: number;
  readonly words: number;
  readonly phrase: string;
}

/** Words without the punctuation around them, in lower case. */
const bare = (word: string): string => word.toLowerCase().replaceAll(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");

/** The longest phrases of the table from left to right; none overlap. */
export function spansOf(words: readonly string[], translations: Translations): Span[] {
  const longest = Math.max(0, ...[...translations.keys()].map((phrase) => phrase.split(/\s+/).length));
  const plain = words.map(bare);
  const spans: Span[] = [];
  for (let start = 0; start < words.length; ) {
    let count = Math.min(longest, words.length - start);
    while (count > 0 && !translations.has(plain.slice(start, start + count).join(" "))) count--;
    if (count > 0) spans.push({ start, words: count, phrase: plain.slice(start, start + count).join(" ") });
    start += Math.max(1, count);
  }
  return spans;
}

/** What stands before the first and after the last letter or digit of words. */
const edges = (words: readonly string[]): readonly [string, string] => [
  /^[^\p{L}\p{N}]*/u.exec(words[0]!)![0],
  /[^\p{L}\p{N}]*$/u.exec(words.at(-1)!)![0],
];

/**
 * Within sentences: spans in random order become their translation until `ratio` of the words are replaced; a span that
 * would go beyond it stays. Punctuation around a span stays.
 */
export function switchedWords(
  words: readonly string[],
  { ratio, translations, random }: { ratio: number; translations: Translations; random: Random },
): string[] {
  let left = Math.round(ratio * words.length);
  const chosen = new Map<number, Span>();
  for (const span of random.shuffled(spansOf(words, translations))) {
    if (span.words > left) continue;
    left -= span.words;
    chosen.set(span.start, span);
  }
  const result: string[] = [];
  for (let place = 0; place < words.length; ) {
    const span = chosen.get(place);
    if (!span) {
      result.push(words[place++]!);
      continue;
    }
    const [before, after] = edges(words.slice(place, place + span.words));
    result.push(`${before}${random.pick(translations.get(span.phrase)!)}${after}`);
    place += span.words;
  }
  return result;
}

/** A text cut behind the marks that end sentences, spaces left out. */
export const sentencesOf = (text: string): string[] =>
  (text.match(/[^.!?。！？]+[.!?。！？]*["'”’)]*/gu) ?? []).map((sentence) => sentence.trim()).filter((s) => s !== "");

/** Between sentences: `ratio` of the sentences, in random places, are those of the translation. As many of each. */
export function switchedSentences(
  sentences: readonly string[],
  translated: readonly string[],
  { ratio, random }: { ratio: number; random: Random },
): string[] {
  const places = random.shuffled(sentences.map((_, place) => place)).slice(0, Math.round(ratio * sentences.length));
  return sentences.map((sentence, place) => (places.includes(place) ? translated[place]! : sentence));
}
