/** Words that are left out, each by itself. Iyyer et al., ACL 2015, https://doi.org/10.3115/v1/P15-1162 */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "word-dropout",
  title: "Word dropout",
  about: "words of a text are left out; one stays",
  cite: "doi:10.3115/v1/P15-1162",
  amounts: [0.1, 0.2, 0.3, 0.4, 0.5],
  words(words, share, { random }) {
    const kept = words.filter(() => random.uniform() >= share);
    return kept.length > 0 || words.length === 0 ? kept : [random.pick(words)];
  },
});
