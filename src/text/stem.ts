/**
 * Porter's stemmer: suffixes of English words taken off in five steps. Porter 1980, "An algorithm for suffix
 * stripping", Program 14(3).
 */

/** One letter per letter of a word: c for a consonant, v for a vowel; y is a vowel after a consonant. */
function pattern(word: string): string {
  let kinds = "";
  for (const letter of word) kinds += /[aeiou]/.test(letter) || (letter === "y" && kinds.endsWith("c")) ? "v" : "c";
  return kinds;
}

/** How many times vowels are followed by consonants. */
const measure = (word: string): number => pattern(word).match(/v+c+/g)?.length ?? 0;
const hasVowel = (word: string): boolean => pattern(word).includes("v");
const endsDouble = (word: string): boolean => /(.)\1$/.test(word) && pattern(word).endsWith("c");
/** Ends in consonant, vowel, consonant, the last none of w, x, y. */
const endsShort = (word: string): boolean => pattern(word).endsWith("cvc") && !/[wxy]$/.test(word);

/** Replaces the longest of the suffixes that the word ends in, if the measure of what is left is above `least`. */
function replaceSuffix(word: string, pairs: readonly (readonly [string, string])[], least: number): string {
  let best: readonly [string, string] | undefined;
  for (const pair of pairs) if (word.endsWith(pair[0]) && pair[0].length > (best?.[0].length ?? 0)) best = pair;
  if (!best) return word;
  const rest = word.slice(0, -best[0].length);
  return measure(rest) > least ? rest + best[1] : word;
}

const pairsOf = (text: string): [string, string][] =>
  text.split(" ").map((pair) => {
    const [from, to = ""] = pair.split(":");
    return [from!, to];
  });

const STEP_2 = pairsOf(
  "ational:ate tional:tion enci:ence anci:ance izer:ize abli:able alli:al entli:ent eli:e ousli:ous ization:ize ation:ate ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble",
);
const STEP_3 = pairsOf("icate:ic ative: alize:al iciti:ic ical:ic ful: ness:");
const STEP_4 = "al ance ence er ic able ible ant ement ment ent ou ism ate iti ous ive ize".split(" ");

function step1(word: string): string {
  let w = word;
  if (/(?:sses|ies)$/.test(w)) w = w.slice(0, -2);
  else if (w.endsWith("s") && !w.endsWith("ss")) w = w.slice(0, -1);

  if (w.endsWith("eed")) {
    if (measure(w.slice(0, -3)) > 0) w = w.slice(0, -1);
  } else {
    const found = /^(.*?)(?:ed|ing)$/.exec(w);
    if (found && hasVowel(found[1]!)) {
      w = found[1]!;
      if (/(?:at|bl|iz)$/.test(w)) w += "e";
      else if (endsDouble(w) && !/[lsz]$/.test(w)) w = w.slice(0, -1);
      else if (measure(w) === 1 && endsShort(w)) w += "e";
    }
  }
  return w.endsWith("y") && hasVowel(w.slice(0, -1)) ? `${w.slice(0, -1)}i` : w;
}

function step4(word: string): string {
  let suffix = "";
  for (const each of STEP_4) if (word.endsWith(each) && each.length > suffix.length) suffix = each;
  if (/[st]ion$/.test(word)) suffix = "ion";
  if (suffix === "") return word;
  const rest = word.slice(0, -suffix.length);
  return measure(rest) > 1 ? rest : word;
}

function step5(word: string): string {
  let w = word;
  if (w.endsWith("e")) {
    const rest = w.slice(0, -1);
    const m = measure(rest);
    if (m > 1 || (m === 1 && !endsShort(rest))) w = rest;
  }
  return w.endsWith("ll") && measure(w) > 1 ? w.slice(0, -1) : w;
}

/** The stem of a lower-case word. Words of one or two letters, and of other letters than a to z, are their own. */
export function stem(word: string): string {
  if (word.length <= 2 || !/^[a-z]+$/.test(word)) return word;
  return step5(step4(replaceSuffix(replaceSuffix(step1(word), STEP_2, 0), STEP_3, 0)));
}
