/**
 * Words in which two letters that stand side by side change places. Pruthi et al., ACL 2019,
 * https://arxiv.org/abs/1905.11268
 */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "typos",
  title: "Typos",
  about: "in words of a text two neighbouring letters change places; words of one letter stay",
  cite: "arXiv:1905.11268",
  amounts: [0.1, 0.2, 0.3, 0.4, 0.5],
  words(words, share, { random }) {
    return words.map((word) => {
      const letters = [...word];
      if (random.uniform() >= share || letters.length < 2) return word;
      const at = random.below(letters.length - 1);
      [letters[at], letters[at + 1]] = [letters[at + 1]!, letters[at]!];
      return letters.join("");
    });
  },
});
