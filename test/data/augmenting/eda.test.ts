import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { augmented, OPERATIONS, wordsOf } from "../../../src/data/augmenting/eda.ts";
import { Random } from "../../../src/data/random.ts";

const SYNONYMS = new Map([
  ["big", ["large", "huge"]],
  ["dog", ["hound"]],
]);
const WORDS = wordsOf(" The Big dog\tsaw a cat and   the dog ran off ");
const of = (operation: (typeof OPERATIONS)[number], rate: number, seed = 1) =>
  augmented(WORDS, operation, { rate, synonyms: SYNONYMS, random: new Random(seed, "test") });
const sorted = (words: readonly string[]) => [...words].sort();

test("words are what stands between spaces", () => {
  expect(WORDS).toEqual(["The", "Big", "dog", "saw", "a", "cat", "and", "the", "dog", "ran", "off"]);
});

test.each(OPERATIONS)("%s: at rate 0 nothing changes, and the same seed makes the same words", (operation) => {
  for (const seed of [1, 2, 3]) expect(of(operation, 0, seed)).toEqual(WORDS);
  expect(of(operation, 0.5, 7)).toEqual(of(operation, 0.5, 7));
});

describe("at a rate of 0.2, round(0.2 * 11) = 2 words", () => {
  const seeds = Array.from({ length: 40 }, (_, i) => i);

  test("replace: as many words as have synonyms, at their places", () => {
    for (const seed of seeds) {
      const changed = of("replace", 0.2, seed);
      const places = changed.flatMap((word, i) => (word === WORDS[i] ? [] : [i]));
      expect(places.length).toBe(2);
      for (const i of places) expect(SYNONYMS.get(WORDS[i]!.toLowerCase())).toContain(changed[i]);
    }
    expect(of("replace", 1).filter((word, i) => word !== WORDS[i]).length).toBe(3);
  });

  test("insert: two synonyms more, and the rest in its order", () => {
    for (const seed of seeds) {
      const changed = of("insert", 0.2, seed);
      expect(changed.length).toBe(13);
      expect(changed.filter((word) => !["large", "huge", "hound"].includes(word))).toEqual(WORDS);
    }
  });

  test("swap: the same words, at most four places changed", () => {
    for (const seed of seeds) {
      const changed = of("swap", 0.2, seed);
      expect(sorted(changed)).toEqual(sorted(WORDS));
      expect(changed.filter((word, i) => word !== WORDS[i]).length).toBeLessThanOrEqual(4);
    }
    expect(seeds.some((seed) => of("swap", 0.2, seed).join() !== WORDS.join())).toBe(true);
  });

  test("delete: a share of 0.2 of all words in the mean, within five standard errors", () => {
    const many = Array.from({ length: 500 }, (_, seed) => WORDS.length - of("delete", 0.2, seed).length);
    const share = many.reduce((a, b) => a + b, 0) / (500 * WORDS.length);
    expect(Math.abs(share - 0.2)).toBeLessThan(5 * Math.sqrt((0.2 * 0.8) / (500 * WORDS.length)));
  });
});

test("any sentence: at least one word stays, and words without synonyms are neither replaced nor joined", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("x", "y", "z"), { minLength: 1, maxLength: 6 }), fc.nat(), (words, seed) => {
      const given = { rate: 1, synonyms: SYNONYMS, random: new Random(seed) };
      expect(augmented(words, "delete", given).length).toBe(1);
      expect(augmented(words, "replace", given)).toEqual(words);
      expect(augmented(words, "insert", given)).toEqual(words);
      expect(sorted(augmented(words, "swap", given))).toEqual(sorted(words));
    }),
  );
  expect(augmented([], "delete", { rate: 1, synonyms: SYNONYMS, random: new Random(1) })).toEqual([]);
});
