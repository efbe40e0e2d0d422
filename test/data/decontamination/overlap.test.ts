/** Overlap of n-grams against a plain loop. */
import { expect, test } from "bun:test";
import { Overlap, tokensOf } from "../../../src/data/decontamination/overlap.ts";
import { Random } from "../../../src/data/random.ts";

const words = (from: number, count: number) => Array.from({ length: count }, (_, i) => `w${from + i}`).join(" ");

test("tokens are words and signs, whatever their case and form", () => {
  expect(tokensOf("What is 12+345?  ")).toEqual(["what", "is", "12", "+", "345", "?"]);
  expect(tokensOf("\uff21\ufb01n Fu\u00dfball cafe\u0301")).toEqual([
    "a\ufb01n".normalize("NFKC"),
    "fu\u00dfball",
    "caf\u00e9",
  ]);
  expect(tokensOf(" \n\t")).toEqual([]);
});

test("a planted copy is caught, and an unrelated text is not", () => {
  const overlap = new Overlap([words(0, 20), words(100, 20)], { n: 8, share: 0.5 });
  expect(overlap.matches(`before ${words(100, 20)} behind`)).toEqual([{ text: 1, covered: 1 }]);
  expect(overlap.matches(words(50, 20))).toEqual([]);
  expect(overlap.matches("")).toEqual([]);
});

test("more than the share has to be covered, in n-grams that are shared whole", () => {
  const overlap = new Overlap([words(0, 20)], { n: 8, share: 0.5 });
  expect(overlap.matches(words(0, 10))).toEqual([]); // 10 of 20
  expect(overlap.matches(words(0, 11))).toEqual([{ text: 0, covered: 0.55 }]);
  expect(overlap.matches(`${words(0, 7)} x ${words(7, 7)} x ${words(14, 6)}`)).toEqual([]); // no run of 8
  expect(overlap.matches(`${words(0, 8)} x ${words(12, 8)}`)).toEqual([{ text: 0, covered: 0.8 }]);
  expect(overlap.matches(words(0, 8)).concat(overlap.matches(words(12, 8)))).toEqual([]); // two rows do not add up
});

test("a text of few tokens is one n-gram, and one of none matches nothing", () => {
  const overlap = new Overlap(["12+3=", ""], { n: 8, share: 0.5 });
  expect(overlap.matches("Q: 12 + 3 = 15")).toEqual([{ text: 0, covered: 1 }]);
  expect(overlap.matches("112+3=")).toEqual([]);
});

test("coverages are those of a plain loop", () => {
  const random = new Random("overlap");
  const draw = () => Array.from({ length: random.below(14) }, () => random.pick(["a", "b", "c"]));
  for (let round = 0; round < 300; round++) {
    const [n, test, train] = [1 + random.below(4), draw(), draw()];
    const own = Math.min(n, test.length);
    const covered = test.filter((_, place) =>
      test.some((_, at) => {
        if (own === 0 || at > place || at + own <= place || at + own > test.length) return false;
        const gram = test.slice(at, at + own).join();
        return train.some((_, from) => from + own <= train.length && train.slice(from, from + own).join() === gram);
      }),
    ).length;
    const found = new Overlap([test.join(" ")], { n, share: 0 }).matches(train.join(" "));
    expect(found).toEqual(covered === 0 ? [] : [{ text: 0, covered: covered / test.length }]);
  }
});
