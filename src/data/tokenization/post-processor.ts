/** Post-processors: the special tokens that a tokenizer puts before and after a text. */
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { type Part, partOf, partsOf, type Reading, unknownPart } from "./definition.ts";

export interface Surroundings {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NONE: Surroundings = { before: [], after: [] };

/** What the post-processor of tokenizer.json puts around one text. Throws UserError for an unknown kind. */
export function surroundingsOf(value: Json | undefined, reading: Reading): Surroundings {
  const part = partOf(value, "post_processor", reading);
  if (part === undefined) return NONE;
  switch (part.type) {
    case "ByteLevel":
      return NONE;
    case "TemplateProcessing":
      return ofTemplate(part, reading);
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: pair(part.cls), after: pair(part.sep) };
    case "Sequence":
      return partsOf(part.processors, "processors", reading)
        .map((each) => surroundingsOf(each, reading))
        .reduce(
          (all, { before, after }) => ({ before: [...before, ...all.before], after: [...all.after, ...after] }),
          NONE,
        );
    default:
      throw unknownPart("post-processor", part.type, reading);
  }
}

/** The id of ["[CLS]", 101]. */
const pair = (value: Json | undefined): number[] =>
  Array.isArray(value) && typeof value[1] === "number" ? [value[1]] : [];

function ofTemplate({ single, special_tokens }: Part, reading: Reading): Surroundings {
  const steps = (Array.isArray(single) ? single : []).filter(isObject);
  const at = steps.findIndex((step) => "Sequence" in step);
  if (at < 0) throw unknownPart("post-processor", "TemplateProcessing without a sequence", reading);
  const ids = (list: readonly JsonObject[]) =>
    list.flatMap((step) => {
      const name = isObject(step.SpecialToken) ? step.SpecialToken.id : undefined;
      const token = isObject(special_tokens) && typeof name === "string" ? special_tokens[name] : undefined;
      const found = isObject(token) && Array.isArray(token.ids) ? token.ids : [];
      return found.filter((id) => typeof id === "number");
    });
  return { before: ids(steps.slice(0, at)), after: ids(steps.slice(at + 1)) };
}
