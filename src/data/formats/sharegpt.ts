/**
 * A conversation as ShareGPT's collections write it:
 *
 *   {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}], "system": "Be brief."}
 *
 * `system` is optional and becomes the first message. Turns of role and content are read too.
 */
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import type { Message } from "../rows.ts";
import { KNOWN_ROLES, roleOf } from "./roles.ts";

const HINT = 'turns are written [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]';

export const sharegpt: RowFormat = {
  needs: ["conversations"],
  optional: ["system"],
  structured: ["conversations"],
  read(row, place) {
    const turns = row.conversations;
    if (!Array.isArray(turns) || turns.length === 0)
      throw new UserError(`${place}: conversations should be a list of turns, found ${kindOf(turns)}`, HINT);
    const messages = turns.map((turn, i) => messageOf(turn, i + 1, place));
    const system = row.system === undefined ? "" : textAt(row, "system", place);
    if (system === "") return { form: "messages", messages };
    if (messages[0]!.role === "system")
      throw new UserError(`${place}: the row has system, and its first turn is one too`, "keep one of them");
    return { form: "messages", messages: [{ role: "system", content: system }, ...messages] };
  },
};

function messageOf(turn: Json, number: number, place: string): Message {
  if (!isObject(turn)) throw new UserError(`${place}: turn ${number} should be an object, found ${kindOf(turn)}`, HINT);
  const [who, what] = Object.hasOwn(turn, "from") ? ["from", "value"] : ["role", "content"];
  const [from, value] = [turn[who!], turn[what!]];
  if (typeof from !== "string" || typeof value !== "string") {
    const [key, found] = typeof from === "string" ? [what, value] : [who, from];
    throw new UserError(`${place}: ${key} of turn ${number} should be a string, found ${kindOf(found)}`, HINT);
  }
  const role = roleOf(from);
  if (role === undefined)
    throw new UserError(
      `${place}: turn ${number} is from ${show(from)}, which is no known role`,
      `known are ${KNOWN_ROLES.join(", ")}; write the row as messages to use others`,
    );
  return { role, content: value };
}
