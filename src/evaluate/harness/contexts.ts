/** What stands before an answer: the description, solved examples, the row's own text. */
import type { JsonObject } from "../../json.ts";
import type { TaskFile } from "./task-file.ts";
import type { DocumentTexts } from "./texts.ts";

interface Asked {
  readonly text: DocumentTexts;
  readonly document: JsonObject;
}

/** A target as text: a place names a choice. */
export const wordsOf = ({ choices }: DocumentTexts, target: string | number): string =>
  typeof target === "number" ? (choices?.[target] ?? String(target)) : target;

/** The places of the choices that are right. */
export const rightPlaces = ({ choices = [], targets, place }: DocumentTexts): number[] =>
  (place === undefined ? targets : [place])
    .map((target) => (typeof target === "number" ? target : choices.indexOf(target)))
    .filter((place) => choices[place] !== undefined);

/**
 * The contexts of all rows; where a row's choices are inputs, what stands before them. Examples are the first of their
 * split; where that is the split that is evaluated, a row is no example of itself.
 */
export function contextsOf(
  { fewshot, split, fewshotSplit, targetDelimiter, fewshotDelimiter }: TaskFile,
  rows: readonly Asked[],
  shots: { readonly texts: readonly DocumentTexts[]; readonly documents: readonly JsonObject[] } | undefined,
): string[] {
  const drawn = shots ? fewshot + (split === fewshotSplit ? 1 : 0) : 0;
  const examples = (shots?.texts.slice(0, drawn) ?? []).map((text, i) => {
    const target = wordsOf(text, text.targets[0]!);
    const answer = target === "" ? "" : targetDelimiter + target + fewshotDelimiter;
    return { shown: text.text + answer, key: JSON.stringify(shots!.documents[i]) };
  });
  return rows.map(({ text, document }) => {
    const key = JSON.stringify(document);
    const chosen = examples.filter((example) => example.key !== key).slice(0, fewshot);
    return text.description + chosen.map(({ shown }) => shown).join("") + (text.place === undefined ? text.text : "");
  });
}
