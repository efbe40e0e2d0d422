/** Post-processors: the special tokens that a tokenizer puts before and after a text. */
import type { Json } from "../../json.ts";
import { type Part, partOf, partsOf, type Reading, unknownPart } from "./definition.ts";
import { pair, type Step, stepsOf } from "./sentence-template.ts";

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

function ofTemplate(part: Part, reading: Reading): Surroundings {
  const steps = stepsOf(part, "single", reading);
  const at = steps.findIndex((step) => "text" in step);
  const ids = (list: readonly Step[]) => list.flatMap((step) => ("ids" in step ? step.ids : []));
  return { before: ids(steps.slice(0, at)), after: ids(steps.slice(at + 1)) };
}
