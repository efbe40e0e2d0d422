/**
 * Strings of letters with a number that follows from them: each of eight letters has a worth, drawn once, and the
 * number of a string is the mean worth of its letters. A stand-in for molecules or proteins and a property of theirs.
 */
import { UserError } from "../../errors.ts";
import { Random } from "../random.ts";
import { drawInSplit, task } from "../task.ts";

const LETTERS = "abcdefgh";
/** Worths lie evenly between these, in an order of the seed. */
const WORTHS = { least: -5, most: 5 };

/** The worth of each letter. */
function worthsOf(seed: number): ReadonlyMap<string, number> {
  const { least, most } = WORTHS;
  const order = new Random(seed, "strings worths").shuffled([...LETTERS]);
  return new Map(order.map((letter, i) => [letter, least + ((most - least) * i) / (LETTERS.length - 1)]));
}

export const method = task({
  name: "strings",
  title: "Strings with a number",
  about: "strings of letters, each with the mean worth of its letters, to predict or to write towards",
  cite: "arXiv:2202.01338",
  splits: "by a hash of the string, whatever the seed: none occurs in two splits",
  options: {
    shortest: { type: "1 <= number.integer <= 64", default: 3, help: "letters of the shortest string" },
    longest: { type: "1 <= number.integer <= 64", default: 8, help: "letters of the longest" },
    decimals: { type: "0 <= number.integer <= 6", default: 1, help: "decimals of the number" },
  },
  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so a string may come twice",
    answered: "the number is no completion; data numeric makes rows that ask for it",
    endless: true,
  },
  content: ({ text }) => String(text),
  trials: [{}, { shortest: 5, longest: 5, decimals: 3 }],

  open({ seed, split }, { shortest, longest, decimals }) {
    if (longest < shortest)
      throw new UserError(`--longest ${longest} is below --shortest ${shortest}`, "raise it, or lower --shortest");
    const worths = worthsOf(seed);
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { worths: Object.fromEntries([...worths].sort(([a], [b]) => a.localeCompare(b))) },
      row(index) {
        const draw = (random: Random) => {
          const count = shortest + random.below(longest - shortest + 1);
          return Array.from({ length: count }, () => random.pick([...LETTERS])).join("");
        };
        const text = drawInSplit(new Random(seed, "strings", split, index), split, draw, (drawn) => drawn);
        const mean = [...text].reduce((sum, letter) => sum + worths.get(letter)!, 0) / text.length;
        return { text, value: Number(mean.toFixed(decimals)) + 0 };
      },
    };
  },
});
