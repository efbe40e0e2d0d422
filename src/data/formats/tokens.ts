/**
 * Tokens as they are: {"input_ids": [..], "labels": [..], "attention_mask": [..], "token_type_ids": [..]}
 *
 * `labels` are optional; -100 is left out of the loss. Tokens whose mask is 0 are padding, on either side, and are left
 * out of the row with their labels, so that positions begin with the first real token.
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { integersAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";
import { IGNORED } from "../rows.ts";

export const tokens: RowFormat = {
  needs: ["input_ids"],
  optional: ["labels", "attention_mask", "token_type_ids"],
  structured: ["input_ids", "labels", "attention_mask", "token_type_ids"],
  read(row, place) {
    const inputIds = integersAt(row, "input_ids", 0, place);
    if (inputIds.length === 0) throw new UserError(`${place}: input_ids is empty`, "leave the row out");
    const labels = row.labels === undefined ? undefined : labelsOf(row, inputIds.length, place);
    const types = row.token_type_ids === undefined ? undefined : typesOf(row, inputIds.length, place);
    const [from, to] = row.attention_mask === undefined ? [0, inputIds.length] : unpadded(row, inputIds.length, place);
    return {
      form: "tokens",
      inputIds: inputIds.subarray(from, to),
      ...(labels ? { labels: labels.subarray(from, to) } : {}),
      ...(types ? { types: types.subarray(from, to) } : {}),
    };
  },
};

function labelsOf(row: JsonObject, length: number, place: string): Int32Array {
  const labels = integersAt(row, "labels", IGNORED, place);
  if (labels.length !== length) {
    throw new UserError(
      `${place}: ${labels.length} labels for ${length} input_ids`,
      "give one label per token; -100 leaves a token out of the loss",
    );
  }
  const odd = labels.findIndex((label) => label < 0 && label !== IGNORED);
  if (odd >= 0) {
    throw new UserError(
      `${place}: label ${labels[odd]} at position ${odd} is not a token`,
      "-100 is the label that is ignored",
    );
  }
  return labels;
}

function typesOf(row: JsonObject, length: number, place: string): Int32Array {
  const types = integersAt(row, "token_type_ids", 0, place);
  if (types.length === length) return types;
  throw new UserError(`${place}: token_type_ids has ${types.length} values for ${length} input_ids`);
}

/** First token that is no padding, and the one after the last. */
function unpadded(row: JsonObject, length: number, place: string): [number, number] {
  const mask = integersAt(row, "attention_mask", 0, place);
  if (mask.length !== length)
    throw new UserError(`${place}: attention_mask has ${mask.length} values for ${length} input_ids`);
  const odd = mask.findIndex((value) => value > 1);
  if (odd >= 0)
    throw new UserError(
      `${place}: attention_mask is ${mask[odd]} at position ${odd}`,
      "1 marks a token and 0 padding; masks that number packed documents are not read: give each its own row",
    );
  const from = mask.indexOf(1);
  if (from < 0) throw new UserError(`${place}: attention_mask is 0 everywhere`, "leave the row out");
  const to = mask.lastIndexOf(1) + 1;
  const hole = mask.indexOf(0, from);
  if (hole >= 0 && hole < to)
    throw new UserError(
      `${place}: attention_mask is 0 at position ${hole}, between tokens that are seen`,
      "padding lies before or after the tokens; to leave a token out of the loss alone, set its label to -100",
    );
  return [from, to];
}
