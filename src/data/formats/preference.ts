/**
 * Two answers to one prompt, of which one is preferred, as texts or as lists of messages:
 *
 *   {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
 *   {"prompt": [{"role": "user", ..}], "chosen": [{"role": "assistant", ..}], "rejected": [..]}
 *   {"chosen": [{"role": "user", ..}, {"role": "assistant", ..}], "rejected": [..]}
 *
 * Without a prompt, the prompt is what both begin with. A prompt of text beside lists of messages is what the user says
 * before them, unless both lists begin with a turn of the user themselves.
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { kindOf, textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import type { Content, Message, Said } from "../rows.ts";
import { messagesAt } from "./messages.ts";

export const preference: RowFormat = {
  needs: ["prompt", "chosen", "rejected"],
  read(row, place) {
    const [chosen, rejected] = answersOf(row, place);
    const prompt = saidAt(row, "prompt", place);
    if (typeof chosen === "string" || typeof rejected === "string") {
      if (typeof prompt !== "string")
        throw new UserError(
          `${place}: prompt is a list of messages, but chosen and rejected are texts`,
          "write all three as texts, or all three as lists of messages",
        );
      return { form: "preference", prompt, chosen, rejected };
    }
    if (typeof prompt !== "string") return { form: "preference", prompt, chosen, rejected };
    if (chosen[0]!.role === "user") return divided(chosen, rejected, place);
    return { form: "preference", prompt: [{ role: "user", content: prompt }], chosen, rejected };
  },
};

export const impliedPreference: RowFormat = {
  needs: ["chosen", "rejected"],
  read: (row, place) => divided(...answersOf(row, place), place),
};

const saidAt = (row: JsonObject, key: string, place: string): Said =>
  Array.isArray(row[key]) ? messagesAt(row, key, place) : textAt(row, key, place);

function answersOf(row: JsonObject, place: string): [Said, Said] {
  if (Array.isArray(row.chosen) !== Array.isArray(row.rejected))
    throw new UserError(
      `${place}: chosen is ${kindOf(row.chosen)} and rejected is ${kindOf(row.rejected)}`,
      "write both as texts, or both as lists of messages",
    );
  return [saidAt(row, "chosen", place), saidAt(row, "rejected", place)];
}

/** Divides what both say alike from the two answers. */
function divided(chosen: Said, rejected: Said, place: string): Content {
  const alike = (i: number) =>
    typeof chosen === "string" || typeof rejected === "string"
      ? chosen[i] === rejected[i]
      : isEqual(chosen[i]!, rejected[i]!);
  const shorter = Math.min(chosen.length, rejected.length);
  let n = 0;
  while (n < shorter && alike(n)) n++;
  // A space before the answers belongs to them, and no character is cut in two.
  if (typeof chosen === "string" && n > 0 && /[ \ud800-\udbff]/.test(chosen[n - 1]!)) n--;
  if (n === 0 || n === chosen.length || n === rejected.length)
    throw new UserError(
      `${place}: chosen and rejected ${n === 0 ? "have no beginning in common" : "differ in length alone"}`,
      "without a prompt, the prompt is what both begin with, and an answer follows in each; add a prompt",
    );
  return {
    form: "preference",
    prompt: chosen.slice(0, n),
    chosen: chosen.slice(n),
    rejected: rejected.slice(n),
  };
}

const isEqual = (a: Message, b: Message): boolean => JSON.stringify(a) === JSON.stringify(b);
