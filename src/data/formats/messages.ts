/**
 * A conversation, of which counts what the assistant says: {"messages": [{"role": "user", "content": ".."}, ..]}
 *
 * Roles that other collections name otherwise (`human`, `bot`) are those that templates know; a role of none of them
 * stays as it is, for the model's own template.
 */
import { UserError } from "../../errors.ts";
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { kindOf } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import type { Message } from "../rows.ts";
import { speakerOf } from "./roles.ts";

export const messages: RowFormat = {
  needs: ["messages"],
  structured: ["messages"],
  read: (row, place) => ({ form: "messages", messages: messagesAt(row, "messages", place) }),
};

/** The list of messages under a key. Throws UserError where it is none. */
export function messagesAt(row: JsonObject, key: string, place: string): Message[] {
  const value = row[key];
  const hint = `${key} are written [{"role": "user", "content": "..."}, ...]`;
  if (!Array.isArray(value) || value.length === 0) {
    throw new UserError(`${place}: ${key} should be a list of messages, found ${kindOf(value)}`, hint);
  }
  const name = key === "messages" ? "message" : `message of ${key}`;
  return value.map((message, i) => {
    if (!isObject(message)) {
      throw new UserError(`${place}: ${name} ${i + 1} should be an object, found ${kindOf(message)}`, hint);
    }
    const { role, content = null, ...rest } = message;
    const text = textOf(content, rest);
    if (typeof role !== "string" || text === undefined) {
      const [field, found] = typeof role === "string" ? ["content", message.content] : ["role", role];
      const other = "from" in message ? "--columns conversations=NAME reads messages of from and value" : hint;
      throw new UserError(`${place}: ${field} of ${name} ${i + 1} should be a string, found ${kindOf(found)}`, other);
    }
    const fields = typeof content === "string" ? rest : { ...rest, content };
    return { role: speakerOf(role), content: text, ...(Object.keys(fields).length > 0 && { fields }) };
  });
}

/** What a message says: its text, the texts of its parts, nothing where it calls tools or only thinks. */
function textOf(content: Json, { tool_calls, reasoning_content, thinking }: JsonObject): string | undefined {
  if (typeof content === "string") return content;
  if (content === null) return tool_calls || reasoning_content || thinking ? "" : undefined;
  if (!Array.isArray(content)) return undefined;
  const texts = content.map((part) => (isObject(part) && part.type === "text" ? part.text : undefined));
  return texts.every((text) => typeof text === "string") ? texts.join("") : undefined;
}
