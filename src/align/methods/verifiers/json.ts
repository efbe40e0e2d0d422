/**
 * Whether the answer is JSON, and an object with the keys that are named. Common practice for structured output.
 *
 * Nothing may stand around it, no key twice, and no more than 64 levels in each other.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type Json, parseJson } from "../../../json.ts";
import { defineVerifier, each } from "../../verifying/contract.ts";

/** The value of a text; undefined of what is no JSON. */
function parsed(text: string): Json | undefined {
  try {
    return parseJson(text.trim(), "the answer").value;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

export const method = defineVerifier({
  name: "json",
  title: "JSON",
  about: "1 where the answer is JSON and, with names of keys, an object that has them all",
  cite: "common practice",
  laws: { alone: true, truth: "completions need not be JSON", range: true },
  range: [0, 1],
  options: {},
  argument: { value: "KEYS", help: "keys that the object has, separated by commas", required: false },
  make({ text }) {
    const keys = text
      .split(",")
      .map((key) => key.trim())
      .filter((key) => key !== "");
    return each(({ answer }) => {
      const value = parsed(answer);
      if (value === undefined) return 0;
      return keys.length === 0 || (isObject(value) && keys.every((key) => Object.hasOwn(value, key))) ? 1 : 0;
    });
  },
});
