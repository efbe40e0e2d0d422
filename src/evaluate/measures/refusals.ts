/** Whether an answer refuses: it holds one of a list of phrases, whatever the case and the punctuation. */
import { REFUSALS } from "../../data/facts/words.ts";

const PHRASES = [
  ...REFUSALS,
  ...["i don't know", "i can't", "i cannot", "i can not", "i am unable", "i'm unable", "i am not able", "i won't"],
  ...["i'm sorry", "i am sorry", "as an ai"],
];

const plain = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll("’", "'")
    .replaceAll(/[^\p{L}\p{N}' ]+/gu, " ")
    .replaceAll(/ +/g, " ")
    .trim();

/** `more` are further phrases. */
export function isRefusal(answer: string, more: readonly string[] = []): boolean {
  const text = ` ${plain(answer)} `;
  return [...PHRASES, ...more].some((phrase) => text.includes(` ${plain(phrase)} `));
}

/** Whether what was asked for is in the answer, word by word. */
export const isGiven = (answer: string, expected: string): boolean => {
  const wanted = plain(expected);
  return wanted !== "" && ` ${plain(answer)} `.includes(` ${wanted} `);
};
