/** Modes of answers: the first token of an answer is one of a few, and says how the rest is written. */
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { PolicyMethod } from "./contract.ts";

/** Two tokens that --control-tokens names. Throws UserError. */
export function controlTokens(text: string): [string, string] {
  const [first, second, ...more] = text.split(",");
  if (!first || !second || more.length > 0 || first === second)
    throw new UserError(`--control-tokens ${text} does not name two tokens`, "part them by a comma: <short>,<think>");
  return [first, second];
}

/** The ids of a method's modes; undefined of one without. Throws UserError for a text that is not one token. */
export function modeIds({ method, values }: Bound<PolicyMethod>, tokenizer: Tokenizer): readonly number[] | undefined {
  return method.modes?.tokens(values).map((text) => {
    const known = tokenizer.idOf(text);
    if (known !== undefined) return known;
    const ids = tokenizer.encode(text, { special: false });
    if (ids.length === 1) return ids[0]!;
    throw new UserError(
      `--control-tokens: ${text} is ${ids.length} tokens of ${tokenizer.name}, and one is needed`,
      "choose a token of the vocabulary, best a special one",
    );
  });
}
