/**
 * Two texts that belong together, as sentence-transformers trains on them, with texts that do not, or how alike two
 * sentences are:
 *
 *   {"query": "capital of France?", "positive": "Paris is ...", "negative": "Lyon is ..."}
 *   {"anchor": "a cat", "positive": "a kitten", "negative_1": "a car", "negative_2": "a house"}
 *   {"sentence1": "a cat sleeps", "sentence2": "a cat is asleep", "score": 0.9}
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import type { Content } from "../rows.ts";

/** Names of texts that do not belong to the first. */
const NEGATIVE = /^negative(_\d+)?$/;

const together = (first: "query" | "anchor"): RowFormat => ({
  needs: [first, "positive"],
  optional: ["negative"],
  numbered: NEGATIVE,
  read: (row, place): Content => ({
    form: "pair",
    first: textAt(row, first, place),
    second: textAt(row, "positive", place),
    negatives: negativesOf(row, place),
  }),
});

/** In the order of their numbers. */
const negativesOf = (row: JsonObject, place: string): string[] =>
  Object.keys(row)
    .filter((key) => NEGATIVE.test(key))
    .sort((a, b) => numberOf(a) - numberOf(b))
    .map((key) => textAt(row, key, place));

const numberOf = (key: string): number => Number(/\d+$/.exec(key)?.[0] ?? -1);

export const query = together("query");
export const anchor = together("anchor");

export const scored: RowFormat = {
  needs: ["sentence1", "sentence2", "score"],
  numeric: ["score"],
  read(row, place): Content {
    const { score } = row;
    if (typeof score !== "number" || !Number.isFinite(score))
      throw new UserError(`${place}: score should be a number, found ${kindOf(score)}`);
    return {
      form: "pair",
      first: textAt(row, "sentence1", place),
      second: textAt(row, "sentence2", place),
      negatives: [],
      score,
    };
  },
};
