/**
 * A prompt and its completion, which alone counts.
 *
 *   {"prompt": "2+2=", "completion": "4"}
 *   {"prompt": [{"role": "user", "content": "2+2?"}], "completion": [{"role": "assistant", "content": "4"}]}
 *
 * Lists of messages, as TRL writes them, are one conversation; what the assistant says in the prompt does not count.
 */
import { UserError } from "../../errors.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import { messagesAt } from "./messages.ts";

export const completion: RowFormat = {
  needs: ["prompt", "completion"],
  read(row, place) {
    const lists = [row.prompt, row.completion].filter(Array.isArray).length;
    if (lists === 0)
      return {
        form: "completion",
        prompt: textAt(row, "prompt", place),
        completion: textAt(row, "completion", place),
      };
    if (lists === 1)
      throw new UserError(
        `${place}: prompt is ${kindOf(row.prompt)} and completion is ${kindOf(row.completion)}`,
        "write both as texts, or both as lists of messages",
      );
    const before = messagesAt(row, "prompt", place);
    const after = messagesAt(row, "completion", place);
    return { form: "messages", messages: [...before, ...after], countsFrom: before.length };
  },
};
