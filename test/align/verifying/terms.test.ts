/** The sums of `--reward`. */
import { expect, test } from "bun:test";
import { parseTerms } from "../../../src/align/verifying/terms.ts";
import { complaint } from "../answered.ts";

const terms = async (text: string) =>
  (await parseTerms(text)).map(({ weight, method, argument }) => [weight, method.name, argument]);

test("a term is a name, with a weight and an argument if need be", async () => {
  expect(await terms("exact")).toEqual([[1, "exact", ""]]);
  expect(await terms(" 0.5 * number : 0.1 ".replace(" :", ":"))).toEqual([[0.5, "number", " 0.1 "]]);
  expect(await terms("-1e-2*length:64")).toEqual([[-0.01, "length", "64"]]);
  expect(await terms("-length:64")).toEqual([[-1, "length", "64"]]);
  expect(await terms("0*exact")).toEqual([[0, "exact", ""]]);
  expect(await terms("cosine_length(0.1,1.0,-1.0,-0.1,64)")).toEqual([[1, "cosine-length", "0.1,1.0,-1.0,-0.1,64"]]);
});

test("a sum has its terms, also where an argument has signs", async () => {
  expect(await terms("exact + 0.1*format")).toEqual([
    [1, "exact", ""],
    [0.1, "format", ""],
  ]);
  expect(await terms("exact+format - 0.5*length(64)+cosine-length:0.1,1,-1,-0.1,64 - 2*json")).toEqual([
    [1, "exact", ""],
    [1, "format", ""],
    [-0.5, "length", "64"],
    [1, "cosine-length", "0.1,1,-1,-0.1,64"],
    [-2, "json", ""],
  ]);
});

test("an expression or a command goes to the end, or to the bracket that closes it", async () => {
  expect(await terms("exact + 0.1*format:<a>.* - .*</a>")).toEqual([
    [1, "exact", ""],
    [0.1, "format", "<a>.* - .*</a>"],
  ]);
  expect(await terms("0.1*format(<a>(\\d|\\))+</a>) + exact")).toEqual([
    [0.1, "format", "<a>(\\d|\\))+</a>"],
    [1, "exact", ""],
  ]);
  expect(await terms("command:python check.py --max=3 | sort - ")).toEqual([
    [1, "command", "python check.py --max=3 | sort - "],
  ]);
});

test.each([
  [
    "regex:a + exact",
    "regex takes all that follows, so + exact may be part of it or a term at character 8 | give each its own",
  ],
  ["command:check.py - 0.5*length:64", "may be part of it or a term at character 17"],
  ["exakt", "unknown verifier exakt | did you mean exact?"],
  ["", "expected the name of a verifier but found the end at character 1 | one of a"],
  ["exact +", "expected the name of a verifier but found the end at character 8"],
  [
    "0.5 exact",
    "expected the name of a verifier but found 0.5 exact at character 1 | a weight and a name have a * between them",
  ],
  ["half*exact", "expected a weight before * but found half at character 1 | a weight is a number"],
  ["exact format", "expected + or - at character 7 | terms of a sum"],
  ["length(64", "a bracket is not closed at character 7"],
  ["1e999x*exact", "expected a weight before * but found 1e999x"],
  ["2**exact", "expected the name of a verifier"],
  ["--exact", "expected the name of a verifier but found -exact at character 2"],
])("%s is refused", async (text, words) => {
  expect(await complaint(parseTerms(text))).toContain(words);
});
