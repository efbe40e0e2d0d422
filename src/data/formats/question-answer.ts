/** A question of the user and the answer of the assistant, as in TOFU: {"question": "...", "answer": "..."} */
import { UserError } from "../../errors.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";

export const questionAnswer: RowFormat = {
  needs: ["question", "answer"],
  read: (row, place) => {
    if (typeof row.answer === "number")
      throw new UserError(
        `${place}: answer is ${kindOf(row.answer)}, which is no text`,
        "an answer is text, in quotes; rows of choices are for bun run evaluate --metric choice --columns prompt=question",
      );
    const question = { role: "user", content: textAt(row, "question", place) };
    return { form: "messages", messages: [question, { role: "assistant", content: textAt(row, "answer", place) }] };
  },
};
