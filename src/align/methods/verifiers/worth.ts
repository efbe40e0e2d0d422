/**
 * The utility of an answer to a row of `data preferences`: the mean worth of its letters, by the row's `worth`. What
 * the labels were made from, and so the truth that a policy or a reward model is measured by.
 */
import { isObject } from "../../../json.ts";
import { defineVerifier, each } from "../../verifying/contract.ts";

export const method = defineVerifier({
  name: "worth",
  title: "Worth",
  about: "the true utility of an answer to a row of data preferences",
  cite: "ingot",
  laws: { alone: true, truth: "other answers may be better", range: "a worth has no bound" },
  range: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  options: {
    otherwise: {
      type: "-1000 <= number <= 1000",
      default: -5,
      help: "worth of a letter that the row does not know, and of no answer",
    },
  },
  make: ({ values: { otherwise } }) =>
    each(({ answer, row }) => {
      const { worth } = row.extra;
      if (!isObject(worth)) return null;
      const letters = [...answer.trim()];
      if (letters.length === 0) return otherwise;
      const worths = letters.map((letter) => {
        const value = Object.hasOwn(worth, letter) ? worth[letter] : otherwise;
        return typeof value === "number" ? value : otherwise;
      });
      return worths.reduce((sum, value) => sum + value, 0) / worths.length;
    }),
});
