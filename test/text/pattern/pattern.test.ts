import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compilePattern, PatternBudget } from "../../../src/text/pattern/pattern.ts";
import { HANG_MS } from "../../support/hang.ts";

/** Pattern, text, what Python 3.12's re.fullmatch says. */
const PYTHON: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
  ["q_proj", "q_proj", true],
  ["q_proj", "x_q_proj", false],
  [".*\\.(q|v)_proj", "model.layers.3.self_attn.v_proj", true],
  [".*\\.(q|v)_proj", "model.layers.3.self_attn.k_proj", false],
  ["model\\.layers\\.([0-9]|1[0-5])\\.mlp", "model.layers.15.mlp", true],
  ["model\\.layers\\.([0-9]|1[0-5])\\.mlp", "model.layers.16.mlp", false],
  ["^(?!.*vision).*(?:k|o)_proj$", "language.o_proj", true],
  ["^(?!.*vision).*(?:k|o)_proj$", "vision.o_proj", false],
  ["^(language_model(?=\\.).*\\.(down_proj|up_proj))$", "language_model.a.up_proj", true],
  ["^(language_model(?=\\.).*\\.(down_proj|up_proj))$", "language_models.a.up_proj", false],
  ["a{2,3}", "a", false],
  ["a{2,3}", "aaa", true],
  ["a{2,3}", "aaaa", false],
  ["a{,2}", "", true],
  ["a{,2}", "aaa", false],
  ["a{2,}", "aaaaa", true],
  ["a{x}", "a{x}", true],
  ["[]a]+", "]a", true],
  ["[^]a]", "b", true],
  ["[a-]", "-", true],
  ["[\\w.]+", "größe.7", true],
  ["[\\d-]+", "1-2", true],
  ["\\x41\\u0042", "AB", true],
  ["a|", "", true],
  ["(a*)*", "aaa", true],
  ["(|a)+b", "aab", true],
  ["(?P<layer>\\d+)\\D?", "12x", true],
  ["\\bw\\b", "w", true],
  ["a\\Bb", "ab", true],
  ["a\\bb", "ab", false],
  ["a.b", "a\nb", false],
  ["a+?b*?", "aabb", true],
  ["\\Aa\\Z", "a", true],
  [".", "😀", true],
  ["(?=ab)a(?!c)b", "ab", true],
];

describe("patterns", () => {
  test.each(PYTHON)("%p on %p gives %p", (pattern, text, expected) => {
    expect(compilePattern(pattern).matches(text)).toBe(expected);
  });

  test("match the end of a module's name after a dot, as PEFT's keys do", () => {
    const key = compilePattern("k|layers\\.\\d+\\.q_proj");
    const answers = ["k", "a.k", "ak", "model.layers.3.q_proj", "mlayers.3.q_proj", "model.layers.3.q_proj.x"];
    expect(answers.map((name) => key.matchesEnd(name))).toEqual([true, true, false, true, false, false]);
  });

  test("agree with the engine of JavaScript on generated patterns", () => {
    const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w");
    const { tree } = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        atom,
        fc.tuple(tie("tree"), tie("tree")).map(([one, two]) => `${one}${two}`),
        fc.tuple(tie("tree"), tie("tree")).map(([one, two]) => `(?:${one}|${two})`),
        fc.tuple(tie("tree"), fc.constantFrom("*", "?", "+", "{0,2}", "{2}")).map(([one, many]) => `(${one})${many}`),
        tie("tree").map((one) => `(?!${one})`),
        tie("tree").map((one) => `(?=${one})`),
      ),
    }));
    const text = fc.array(fc.constantFrom("a", "b", "."), { maxLength: 6 }).map((points) => points.join(""));
    fc.assert(
      fc.property(tree, text, (pattern, subject) => {
        expect(compilePattern(pattern).matches(subject)).toBe(new RegExp(`^(?:${pattern})$`, "u").test(subject));
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  test.each([
    ["(a+)+$", "a".repeat(200)],
    [`${".*".repeat(400)}Q`, "model.layers.0.self_attn.q_proj".repeat(4)],
    ["(a|a)*(b|b)*(a|ab)*x", "ab".repeat(100)],
    ["(x?){60}x{60}", "x".repeat(60)],
  ])("answer at once where backtracking would not end: %p", (pattern, text) => {
    const start = performance.now();
    compilePattern(pattern).matchesEnd(`${text}!`);
    expect(performance.now() - start).toBeLessThan(HANG_MS);
  });

  test("have a budget together", () => {
    const budget = new PatternBudget();
    const costly = compilePattern(`${"(?=.*".repeat(3)}x${")".repeat(3)}.*`.repeat(30), budget);
    const run = () => {
      for (let n = 0; n < 10_000; n++) costly.matches("y".repeat(300));
      for (let n = 0; n < 10_000; n++) costly.matches("x".repeat(300));
    };
    expect(run).toThrow("takes too long to match");
  });

  test.each([
    ["(a)\\1", "a reference back"],
    ["(?<=a)b", "looking behind"],
    ["(?<!a)b", "looking behind"],
    ["(?>a)b", "an atomic group"],
    ["(?i)a", "flags"],
    ["(?P=x)", "a reference back"],
    ["(?(1)a|b)", "a condition"],
    ["a++", "a possessive quantifier"],
    ["a**", "a quantifier follows a quantifier"],
    ["(a", "a group has no end"],
    ["a)", "a ) closes no group"],
    ["[a", "a [ has no ]"],
    ["[z-a]", "a range in [ ] has no order"],
    ["*a", "nothing stands before *"],
    ["a{3,2}", "{3,2} counts from more to less"],
    ["a\\", "it ends in a backslash"],
    ["\\q", "\\q is unknown"],
    ["\\xZZ", "is no character"],
    ["^*", "a quantifier follows an anchor"],
    ["((((a{99}){99}){99}){99})", "is too large once its repetitions are written out"],
    ["(((){99999}){99999}){99999}", "is too large once its repetitions are written out"],
    ["a".repeat(1001), "it is longer than 1000 characters"],
  ])("refuse %p", (pattern, message) => {
    expect(() => compilePattern(pattern)).toThrow(message);
  });
});
