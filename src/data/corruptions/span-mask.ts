/** Spans of words become one mask each, as in T5. Raffel et al., JMLR 2020, https://arxiv.org/abs/1910.10683 */
import { defineCorruption } from "../corrupting/contract.ts";

/** Words of a span, in the mean. */
const SPAN = 3;

export const method = defineCorruption({
  name: "span-mask",
  title: "Span masks",
  about: "spans of about three words become one mask each",
  cite: "arXiv:1910.10683",
  amounts: [0.1, 0.2, 0.3, 0.4, 0.5],
  words(words, share, { mask, random }) {
    const wanted = Math.round(share * words.length);
    const hidden = new Array<boolean>(words.length).fill(false);
    for (let count = 0; count < wanted; ) {
      const start = random.below(words.length);
      const length = Math.min(1 + random.below(2 * SPAN - 1), wanted - count, words.length - start);
      for (let i = start; i < start + length; i++) {
        if (!hidden[i]) count++;
        hidden[i] = true;
      }
    }
    return words.flatMap((word, i) => (hidden[i] ? (hidden[i - 1] ? [] : [mask]) : [word]));
  },
});
