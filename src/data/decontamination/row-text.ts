/** The text of a row that decontamination compares. */
import { UserError } from "../../errors.ts";
import type { LocatedRow, Message, Said } from "../rows.ts";

const said = (content: Said): string => (typeof content === "string" ? content : turns(content));

const turns = (messages: readonly Message[]): string => messages.map(({ content }) => content).join("\n");

/** What a row asks, or all that it says. Throws UserError for a row without text. */
export function textOfRow({ row, place }: LocatedRow, part: "prompt" | "all"): string {
  const isAll = part === "all";
  switch (row.form) {
    case "text":
      return row.text;
    case "prompt":
      return row.prompt;
    case "completion":
      return isAll ? `${row.prompt}\n${row.completion}` : row.prompt;
    case "messages":
      return turns(isAll ? row.messages : row.messages.filter(({ role }) => role === "user"));
    case "preference":
      return (isAll ? [row.prompt, row.chosen, row.rejected] : [row.prompt]).map(said).join("\n");
    case "pair":
      return isAll ? [row.first, row.second, ...row.negatives].join("\n") : row.first;
    default:
      throw new UserError(`${place}: a row of ${row.form} has no text`, "compare the rows before they are tokenized");
  }
}
