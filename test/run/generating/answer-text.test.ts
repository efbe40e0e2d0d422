import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";
import { Answer, answerText } from "../../../src/run/generating/answer-text.ts";
import { cutAtStop } from "../../../src/run/generating/stop-texts.ts";

const tokenizer = byteTokenizer();

/** What an answer gives out, piece by piece. */
function streamed(text: string, stops: readonly string[]): { answer: Answer; pieces: string[] } {
  const answer = new Answer(tokenizer, stops);
  const pieces = Array.from(tokenizer.encode(text), (id) => answer.push(id));
  return { answer, pieces: [...pieces, answer.end()] };
}

test("text is given out as soon as it cannot be the beginning of a stop text", () => {
  expect(streamed("ab", []).pieces).toEqual(["a", "b", ""]);
  expect(streamed("abcd", ["cx"]).pieces).toEqual(["", "a", "b", "c", "d"]);
});

test("an answer takes nothing after its stop text", () => {
  const { answer, pieces } = streamed("ab;cd", [";"]);
  expect([answer.text, answer.stopped, pieces.join("")]).toEqual(["ab", true, "ab"]);
  expect(answer.ids).toHaveLength(3);
});

/** What is left of a text that comes letter by letter: the stop text that is whole first ends it. */
function whatIsLeft(whole: string, stops: readonly string[]): string {
  let come = "";
  for (const letter of whole) {
    come += letter;
    if (stops.some((stop) => come.includes(stop))) return cutAtStop(come, stops);
  }
  return whole;
}

test("the stop text that is whole first ends an answer, also inside another one", () => {
  expect(streamed(";b;", [";b;", "b"]).answer.text).toBe(";");
  expect(streamed(";b", [";b", "b"]).answer.text).toBe("");
});

test("the pieces are the text before the stop text, whatever the texts", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", ";", "é") });
  fc.assert(
    fc.property(text, fc.array(text.filter(Boolean), { maxLength: 2 }), (whole, stops) => {
      const { answer, pieces } = streamed(whole, stops);
      expect(pieces.join("")).toBe(whatIsLeft(whole, stops));
      expect(answer.text).toBe(whatIsLeft(whole, stops));
    }),
    { numRuns: 2000 },
  );
});

test("stop texts see special tokens, and the text does not show them", () => {
  const ids = [...tokenizer.encode("ab<bos>cd<eos>\nef")];
  const visible = (stops: readonly string[]) => answerText(tokenizer, ids, stops);
  expect(visible([])).toBe("abcd\nef");
  expect(visible(["<bos>"])).toBe("ab");
  expect(visible(["<eos>\n"])).toBe("abcd");
  expect(visible(["d<eos>"])).toBe("abc");
  expect(visible(["bc"])).toBe("a");
  expect(visible(["<pad>", "f"])).toBe("abcd\ne");
  const answer = new Answer(tokenizer, ["<eos>\n"]);
  const pieces = ids.map((id) => answer.push(id));
  expect(pieces.join("") + answer.end()).toBe("abcd");
});
