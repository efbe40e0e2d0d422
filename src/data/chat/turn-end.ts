/** The token by which a chat template ends an answer, so that answers end where no other file of a model says so. */
import { UserError } from "../../errors.ts";
import { isSpecial } from "../special-tokens.ts";
import type { ChatTemplate } from "../template.ts";
import type { Tokenizer } from "../tokenizer.ts";

/** A letter that no template writes by itself. */
const ANSWER = "\ue000";

/** The first special token behind the answer to a first question; undefined where there is none. */
export function turnEnd(template: ChatTemplate, tokenizer: Tokenizer): number | undefined {
  const messages = [
    { role: "user", content: "?" },
    { role: "assistant", content: ANSWER },
  ];
  let text: string;
  try {
    text = template.render(messages);
  } catch (error) {
    // What the template refuses is said of the rows that it refuses.
    if (error instanceof UserError) return undefined;
    throw error;
  }
  const at = text.lastIndexOf(ANSWER);
  return at < 0 ? undefined : tokenizer.encode(text.slice(at + 1)).find((id) => isSpecial(tokenizer, id));
}
