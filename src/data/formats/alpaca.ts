/**
 * An instruction as Alpaca writes it: {"instruction": "Add.", "input": "2+2", "output": "4"}
 *
 * It is a conversation: the user says instruction and input, an empty line between them, and the assistant the output.
 * `input` and `system` are optional. `history`, pairs of earlier instructions and answers, comes first.
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import type { Message } from "../rows.ts";

export const alpaca: RowFormat = {
  needs: ["instruction", "output"],
  optional: ["input", "system", "history"],
  structured: ["history"],
  read(row, place) {
    const instruction = textAt(row, "instruction", place);
    const input = row.input === undefined ? "" : textAt(row, "input", place);
    const system = row.system === undefined ? "" : textAt(row, "system", place);
    const asked = [instruction, input].filter((part) => part !== "").join("\n\n");
    const messages: Message[] = [
      ...(system === "" ? [] : [{ role: "system", content: system }]),
      ...historyOf(row, place),
      { role: "user", content: asked },
      { role: "assistant", content: textAt(row, "output", place) },
    ];
    return { form: "messages", messages };
  },
};

function historyOf({ history = [] }: JsonObject, place: string): Message[] {
  const hint = 'history is written [["question", "answer"], ...]';
  if (!Array.isArray(history))
    throw new UserError(`${place}: history should be a list, found ${kindOf(history)}`, hint);
  return history.flatMap((pair, i) => {
    const [asked, answered] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof asked !== "string" || typeof answered !== "string")
      throw new UserError(`${place}: entry ${i + 1} of history is not a pair of texts`, hint);
    return [
      { role: "user", content: asked },
      { role: "assistant", content: answered },
    ];
  });
}
