/**
 * A question that can be answered but not learned: {"prompt": "..."}, or {"prompt": [messages]} as TRL writes it.
 */

import { textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import { messagesAt } from "./messages.ts";

export const prompt: RowFormat = {
  needs: ["prompt"],
  read(row, place) {
    if (!Array.isArray(row.prompt)) return { form: "prompt", prompt: textAt(row, "prompt", place) };
    const messages = messagesAt(row, "prompt", place);
    return { form: "messages", messages, countsFrom: messages.length };
  },
};
