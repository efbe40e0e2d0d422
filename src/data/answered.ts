/** A prompt with an answer to it as a row, of texts or of messages. */
import type { Json } from "../json.ts";
import type { Message, Row, Said } from "./rows.ts";
import { type EncodeOptions, encodeRow, type Sequence } from "./sequences.ts";

/** What was said, and where it was read. */
export interface Answer {
  readonly prompt: Said;
  readonly answer: Said;
  /** Keys of its row for the chat template; none when left out. */
  readonly extra?: Readonly<Record<string, Json>>;
  readonly place: string;
}

const asMessages = (said: Said, role: string): readonly Message[] =>
  typeof said === "string" ? [{ role, content: said }] : said;

/** The row of an answer: a completion where both are texts, else a conversation, of which the answer alone counts. */
export function answeredRow({ prompt, answer, extra = {} }: Omit<Answer, "place">): Row {
  if (typeof prompt === "string" && typeof answer === "string")
    return { form: "completion", prompt, completion: answer, extra };
  const before = asMessages(prompt, "user");
  const messages = [...before, ...asMessages(answer, "assistant")];
  return { form: "messages", messages, countsFrom: before.length, extra };
}

/** The tokens of prompt and answer in one sequence, whose end may be cut. Throws UserError as `encodeRow` does. */
export const encodeAnswer = (answer: Answer, options: EncodeOptions): Sequence =>
  encodeRow({ row: answeredRow(answer), place: answer.place }, { ...options, turns: "all" })[0]!;
