/** Cuts one text, or a pair, to a number of tokens: the longer of a pair first, as the library tokenizers does. */

/** How many tokens stay of each part, of all together at most `most`. */
export function longestFirst(parts: readonly { readonly length: number }[], most: number): number[] {
  const lengths = parts.map(({ length }) => length);
  if (lengths.length < 2) return lengths.map((length) => Math.min(length, most));
  const short = lengths[0]! <= lengths[1]! ? 0 : 1;
  const least = lengths[short]!;
  const longer = Math.min(lengths[1 - short]!, Math.max(least, most - least));
  const fits = least + longer <= most;
  const kept = fits ? [least, longer] : [Math.floor(most / 2), Math.ceil(most / 2)];
  return short === 0 ? kept : kept.toReversed();
}
