/**
 * What post-processors put around one text, or two: special tokens, and a type for every token, which says which text
 * it is of.
 */
import { isObject, type Json, type JsonObject } from "../../json.ts";
import { type Part, partOf, partsOf, type Reading, unknownPart } from "./definition.ts";

/** A step of a template: special tokens, or a text, and the type of these tokens. */
export type Step =
  | { readonly ids: readonly number[]; readonly type: number }
  | { readonly text: "first" | "second"; readonly type: number };

/** What stands around one text, and around two. */
export interface SentenceTemplate {
  readonly single: readonly Step[];
  readonly pair: readonly Step[];
}

const FIRST: Step = { text: "first", type: 0 };
/** Of a tokenizer that puts nothing around texts. */
export const PLAIN: SentenceTemplate = { single: [FIRST], pair: [FIRST, { text: "second", type: 1 }] };

/** What a tokenizer puts around one text and two, with types of tokens. Throws UserError for an unknown kind. */
export function sentenceTemplate(value: Json | undefined, reading: Reading): SentenceTemplate {
  const part = partOf(value, "post_processor", reading);
  if (part === undefined) return PLAIN;
  const special = (id: Json | undefined): Step => ({ ids: pair(id), type: 0 });
  switch (part.type) {
    case "ByteLevel":
      return PLAIN;
    case "TemplateProcessing":
      return { single: stepsOf(part, "single", reading), pair: stepsOf(part, "pair", reading) };
    case "BertProcessing": {
      const [cls, sep] = [special(part.cls), special(part.sep)];
      const second: Step = { text: "second", type: 1 };
      return { single: [cls, FIRST, sep], pair: [cls, FIRST, sep, second, { ...sep, type: 1 }] };
    }
    case "RobertaProcessing": {
      const [cls, sep] = [special(part.cls), special(part.sep)];
      return { single: [cls, FIRST, sep], pair: [cls, FIRST, sep, sep, { text: "second", type: 0 }, sep] };
    }
    case "Sequence": {
      const inner = partsOf(part.processors, "processors", reading).filter(({ type }) => type !== "ByteLevel");
      if (inner.length > 1) throw unknownPart("post-processor", "Sequence of several templates", reading);
      return sentenceTemplate(inner[0], reading);
    }
    default:
      throw unknownPart("post-processor", part.type, reading);
  }
}

/** The id of ["[CLS]", 101]. */
export const pair = (value: Json | undefined): number[] =>
  Array.isArray(value) && typeof value[1] === "number" ? [value[1]] : [];

/** The steps of `single` or `pair` of TemplateProcessing. Throws UserError where a text of it is missing. */
export function stepsOf(part: Part, which: "single" | "pair", reading: Reading): Step[] {
  const { special_tokens } = part;
  const steps = (Array.isArray(part[which]) ? part[which] : []).filter(isObject).flatMap((step): Step[] => {
    const { SpecialToken: token, Sequence: sequence } = step;
    if (isObject(sequence)) return [{ text: sequence.id === "B" ? "second" : "first", type: typeOf(sequence) }];
    if (!isObject(token)) return [];
    const named = isObject(special_tokens) && typeof token.id === "string" ? special_tokens[token.id] : undefined;
    const ids = isObject(named) && Array.isArray(named.ids) ? named.ids.filter((id) => typeof id === "number") : [];
    return [{ ids, type: typeOf(token) }];
  });
  const texts = steps.filter((step) => "text" in step).length;
  if (texts === (which === "pair" ? 2 : 1)) return steps;
  throw unknownPart("post-processor", `TemplateProcessing with ${texts} texts for ${which}`, reading);
}

const typeOf = ({ type_id }: JsonObject): number => (typeof type_id === "number" ? type_id : 0);

/** Tokens of a text, or of two, as a model reads them. */
export interface Sentences {
  readonly ids: Int32Array;
  /** Which text each token is of, as the template numbers them. */
  readonly types: Int32Array;
}

/** Tokens of one text or two with what stands around them. */
export function arranged(
  { single, pair }: SentenceTemplate,
  first: readonly number[],
  second?: readonly number[],
): Sentences {
  const parts = (second ? pair : single).map((step) => ({
    ids: "ids" in step ? step.ids : step.text === "first" ? first : second!,
    type: step.type,
  }));
  return {
    ids: Int32Array.from(parts.flatMap(({ ids }) => [...ids])),
    types: Int32Array.from(parts.flatMap(({ ids, type }) => ids.map(() => type))),
  };
}
