/**
 * A row as one plain text: a document as it is, a prompt with its answer, a conversation turn by turn, and of
 * preferences the prompt with the answer that was chosen, the other one behind it where that is asked for.
 */
import { UserError } from "../../errors.ts";
import type { LocatedRow, Message, Said } from "../rows.ts";

export interface PlainForm {
  readonly between: string;
  /** What stands before a rejected answer; undefined: it is left out. */
  readonly rejected?: string | undefined;
}

const turns = (messages: readonly Message[], between: string) => messages.map(({ content }) => content).join(between);
const said = (content: Said, between: string): string =>
  typeof content === "string" ? content : turns(content, between);

/** Throws UserError for a row that is no text. */
export function plainText({ row, place }: LocatedRow, { between, rejected }: PlainForm): string {
  switch (row.form) {
    case "text":
      return row.text;
    case "prompt":
      return row.prompt;
    case "completion":
      return `${row.prompt}${between}${row.completion}`;
    case "messages":
      return turns(row.messages, between);
    case "preference": {
      const chosen = [row.prompt, row.chosen].map((part) => said(part, between)).join(between);
      return rejected === undefined ? chosen : `${chosen}${between}${rejected}${said(row.rejected, between)}`;
    }
    default:
      throw new UserError(`${place}: a row of ${row.form} is no text`, "give documents, instructions or preferences");
  }
}
